"""Answers as Consul's clients expect them: compact JSON, plain errors, headers that tell the index.

Lists are `[]` and never null; a handler that has nothing to say answers 200 with an empty body.
"""

from __future__ import annotations

import json
from typing import Any, Final

from starlette.responses import Response

from catalog.http.trouble import Trouble

__all__ = ["COMMON", "empty", "failure", "json_answer", "read_headers"]

COMMON: Final = {"X-Consul-Default-ACL-Policy": "allow"}
"""On every answer: there are no access rules, everybody may do everything."""
JSON_TYPE: Final = "application/json"


def json_answer(
    value: Any, *, headers: dict[str, str] | None = None, status: int = 200, pretty: bool = False
) -> Response:
    """Return a value as JSON."""
    text = (
        json.dumps(value, indent=4, ensure_ascii=False) + "\n"
        if pretty
        else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    )
    # A lone surrogate can stand in a text that came as JSON; UTF-8 has no place for it.
    body = text.encode(errors="replace")
    return Response(body, status, headers=headers, media_type=JSON_TYPE)


def empty(*, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """Return nothing but a status."""
    return Response(status_code=status, headers=headers)


def failure(trouble: Trouble) -> Response:
    """Return an error as plain text, marked so that no browser takes it for a page."""
    return Response(
        trouble.text.encode(errors="replace"),
        trouble.status,
        headers={"X-Content-Type-Options": "nosniff"},
        media_type="text/plain",
    )


def read_headers(
    *, index: int, known_leader: bool, last_contact: float, effective: str
) -> dict[str, str]:
    """Return the headers of a read.

    Args:
        index: of what was read; 0 is sent as 1, for a client that waits for more than 0 never
            waits.
        known_leader: whether the server that answered knows a leader.
        last_contact: seconds since that server was last known to have everything.
        effective: how current the answer is: `leader`, `consistent` or `stale`.

    """
    return {
        "X-Consul-Index": str(max(1, index)),
        "X-Consul-KnownLeader": "true" if known_leader else "false",
        "X-Consul-LastContact": str(round(last_contact * 1000)),
        "X-Consul-Effective-Consistency": effective,
        "X-Consul-Query-Backend": "blocking-query",
    }

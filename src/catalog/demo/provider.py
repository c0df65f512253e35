"""A provider: a process that counts words over HTTP, and registers itself in the catalog.

`POST /count` with a text answers `{"provider", "words", "distinct", "favourite"}`; `GET /health` is
what the agent's check asks.
It serves until it is killed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import trio

import catalog
from catalog.model import HttpCheck, Service

__all__ = ["BODY_BYTES_MAX", "WordServer", "count_words", "main"]

BODY_BYTES_MAX = 4 << 20
"""Longer texts are refused with 413."""
CHECK_TIMEOUT_SECONDS = 10.0
"""A killed provider refuses at once; the timeout is for one that hangs."""
WORD = re.compile(r"[^\W\d_]+")


def count_words(text: str) -> dict[str, int | str]:
    """Return how many words a text has, how many distinct ones, and which occurs most often."""
    counts = Counter(word.lower() for word in WORD.findall(text))
    favourite = min(counts, key=lambda word: (-counts[word], word), default="")
    return {"words": counts.total(), "distinct": len(counts), "favourite": favourite}


class WordHandler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.1, so that a consumer may keep it."""

    protocol_version = "HTTP/1.1"
    timeout = 30
    server: WordServer

    def do_GET(self) -> None:
        """Answer the health check."""
        if self.path == "/health":
            self._answer(200, {"provider": self.server.name, "answered": self.server.answered})
        else:
            self._answer(404, {"error": f"no {self.path} here; POST a text to /count"})

    def do_POST(self) -> None:
        """Count the words of the body."""
        length = self.headers.get("Content-Length", "")
        if self.path != "/count" or not length.isdecimal():
            self.close_connection = True
            self._answer(400, {"error": "POST a text to /count, with its Content-Length"})
        elif int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._answer(413, {"error": f"at most {BODY_BYTES_MAX} bytes"})
        else:
            text = self.rfile.read(int(length)).decode("utf-8", errors="replace")
            self._answer(200, {"provider": self.server.name, **count_words(text)})
            self.server.answered += 1

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line per request would be the larger part of the work."""


class WordServer(ThreadingHTTPServer):
    """The HTTP server; port 0 is replaced by a free one."""

    daemon_threads = True

    def __init__(self, name: str, host: str = "127.0.0.1") -> None:
        super().__init__((host, 0), WordHandler)
        self.name = name
        self.answered = 0

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.server_address[1])


async def offer(agent: str, name: str, server: WordServer, interval: float) -> None:
    """Register the server at an agent, with an HTTP check, for as long as we live."""
    service = Service(
        "words",
        id=name,
        address="127.0.0.1",
        port=server.port,
        checks=(
            HttpCheck(
                f"http://127.0.0.1:{server.port}/health",
                interval=interval,
                timeout=CHECK_TIMEOUT_SECONDS,
            ),
        ),
    )
    async with catalog.connect(agent) as client:
        with contextlib.suppress(catalog.Unavailable, catalog.Indeterminate):
            await client.register(service)  # if it cannot now, the agent does as soon as it can
        await trio.sleep_forever()


def main() -> None:
    """Serve and register until killed."""
    parser = argparse.ArgumentParser(prog="python -m catalog.demo.provider", description=__doc__)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--interval", type=float, default=0.5)
    options = parser.parse_args()
    server = WordServer(options.name)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    trio.run(offer, options.agent, options.name, server, options.interval)


if __name__ == "__main__":
    main()

"""Break the rules, one after the other, and see who notices: `python -m tests.sabotage all`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import pytest
from tests.sabotage.rows import Row
from tests.sabotage.table import ROWS


def main(arguments: list[str] | None = None, *, rows: dict[str, Row] = ROWS) -> int:
    """Run the rows asked for; return 1 if one was not caught."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sabotage",
        description="Break one rule of the protocol at a time, in memory only, and show what "
        "notices. A rule whose breaking nobody notices is a gap in the tests.",
    )
    parser.add_argument("name", nargs="*", default=["all"], help="rows, or all (the default)")
    parser.add_argument("--json", action="store_true", help="one JSON list instead of a table")
    parser.add_argument("--list", action="store_true", help="print names and pitfalls, run nothing")
    parser.add_argument(
        "--within", metavar="TEST", help="run this pytest item with the rule broken"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.name if name != "all" and name not in rows]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; --list prints all")
    names = list(rows) if "all" in options.name else options.name
    if options.list:
        _write("\n".join(f"{name:<38} {rows[name].pitfall}" for name in names))
        return 0
    if options.within:
        return _run_within(rows[names[0]], options.within)
    results = []
    for name in names:
        results.append(examined(rows[name]))
        if not options.json:
            _write(_line(results[-1]))
    if options.json:
        _write(json.dumps(results, indent=1))
    else:
        caught = sum(result["caught"] for result in results)
        _write(f"{caught} of {len(results)} caught")
    return 0 if all(result["caught"] for result in results) else 1


def examined(row: Row) -> dict[str, Any]:
    """What became of one row; it is caught if every one of its watchers noticed."""
    verdicts = row.verdicts()
    return {
        "name": row.name,
        "pitfall": row.pitfall,
        "caught_by": "; ".join(verdict.by for verdict in verdicts),
        "seeds": max(verdict.seeds for verdict in verdicts),
        "caught": all(verdict.caught for verdict in verdicts),
    }


def _line(result: dict[str, Any]) -> str:
    seeds = f" after {result['seeds']} seeds" if result["seeds"] else ""
    verdict = "caught by" if result["caught"] else "NOT CAUGHT by"
    return f"{result['name']:<38} {verdict} {result['caught_by']}{seeds}\n    {result['pitfall']}"


def _run_within(row: Row, test: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        row.break_rule(patch)
        return int(pytest.main([test, "-q", "-x", "-p", "no:cacheprovider"]))


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""AppendEntries as bytes against `cbor2` of the same columns, in turn, in the same run.

    python benchmarks/wire.py [--quick] [--json]

The reference is `cbor2.dumps` and `loads` of a list of the message's numbers and columns, without
any check of what comes in. Ours checks everything (see `quorum.wire`). "again" is what it costs to
send a run whose bytes are known already, as a leader does for its second follower.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

import cbor2

from quorum.messages import AppendEntries, Entries
from quorum.wire import decode, encode

SHAPES = [(1, 128), (16, 128), (256, 128), (256, 1024), (1024, 128)]


def best(*calls: Callable[[], Any], rounds: int) -> list[float]:
    """Microseconds of each call, by turns; the least of five rounds."""
    least = [float("inf")] * len(calls)
    for _ in range(5):
        for number, call in enumerate(calls):
            began = perf_counter()
            for _ in range(rounds):
                call()
            least[number] = min(least[number], 1e6 * (perf_counter() - began) / rounds)
    return least


def measure(count: int, size: int, *, rounds: int) -> dict[str, float]:
    payloads = tuple(os.urandom(size) for _ in range(count))
    run = Entries(1, (7,) * count, (1_700_000_000_000,) * count, bytes(count), payloads)
    message = AppendEntries(7, 0, 0, 0, 1, run)
    columns = [7, 0, 0, 0, 1, 1, run.terms, run.stamps, run.kinds, payloads]

    def fresh() -> bytes:
        run.packed = None
        return encode(message)

    body, reference = fresh(), cbor2.dumps(columns)
    names = "encode", "cbor2_dumps", "decode", "cbor2_loads", "again"
    times = best(
        fresh,
        lambda: cbor2.dumps(columns),
        lambda: decode(body),
        lambda: cbor2.loads(reference),
        lambda: encode(message),
        rounds=rounds,
    )
    sizes = {"size": len(body), "cbor2_size": len(reference)}
    return {"entries": count, "bytes": size, **dict(zip(names, times, strict=True)), **sizes}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="quorum.wire against cbor2.")
    parser.add_argument("--quick", action="store_true", help="a few rounds, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    options = parser.parse_args(argv)
    rows = [
        measure(count, size, rounds=3 if options.quick else max(20, 20_000 // count))
        for count, size in SHAPES
    ]
    if options.json:
        print(json.dumps({"append_entries": rows}))
        return
    for row in rows:
        count = row["entries"]
        encoding, decoding = row["encode"], row["decode"]
        print(
            f"{count:4} x {row['bytes']:4} B, µs an entry: "
            f"encode {encoding / count:.3f} ({encoding / row['cbor2_dumps']:.2f}x cbor2), "
            f"decode {decoding / count:.3f} ({decoding / row['cbor2_loads']:.2f}x cbor2), "
            f"again {row['again'] / count:.3f}; {row['size'] / row['cbor2_size']:.2f}x the bytes"
        )


if __name__ == "__main__":
    main()

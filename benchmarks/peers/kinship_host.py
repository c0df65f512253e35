"""Some nodes of kinship in one process, ordered about by JSON lines: see benchmarks/gossip.py.

`pip install kinship` into any environment whose Python is given as `--kinship-python`.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
from time import monotonic
from typing import Any

import kinship.blocking  # type: ignore[import-untyped,import-not-found,unused-ignore]

LOCK = threading.Lock()
KINDS = {
    "MemberJoined": "joined",
    "MemberSuspect": "suspected",
    "MemberRecovered": "recovered",
    "MemberDead": "failed",
    "MemberLeft": "left",
}


def say(**words: Any) -> None:
    """Write one line at once."""
    with LOCK:
        sys.stdout.write(json.dumps(words) + "\n")
        sys.stdout.flush()


def follow(name: str, node: Any, events: Any) -> None:
    """Tell all that a node is told."""
    for member in node.members():
        say(ev="joined", at=name, about=member.name, t=monotonic())
    for event in events:
        kind = type(event).__name__
        if kind == "UserMessage":
            say(ev="user", at=name, about=event.data.decode(), t=monotonic())
        elif kind in KINDS:
            say(ev=KINDS[kind], at=name, about=event.member.name, t=monotonic())


def start(order: dict[str, Any], arguments: argparse.Namespace) -> Any:
    """Run one node, with a thread that listens to its events."""
    began = monotonic()
    options: dict[str, Any] = {"keys": [bytes.fromhex(arguments.key)]} if arguments.key else {}
    if not arguments.key:
        options["insecure_plaintext"] = True
    config = getattr(kinship.Config, arguments.profile)(
        name=order["name"],
        bind="127.0.0.1:0",
        seeds=[f"{host}:{port}" for host, port in order["seeds"]],
        **options,
    )
    node = kinship.blocking.Cluster(config)
    node.start()
    thread = threading.Thread(target=follow, args=(order["name"], node, node.events()), daemon=True)
    thread.start()
    host, port = str(node.local.addr).rsplit(":", 1)
    say(ev="started", name=order["name"], address=[host, int(port)], t=began)
    return node


def main() -> None:
    """Obey until the orders end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--profile", default="lan")
    parser.add_argument("--key")
    arguments = parser.parse_args()
    nodes: dict[str, Any] = {}
    for line in sys.stdin:
        order = json.loads(line)
        match order["do"]:
            case "start":
                nodes[order["name"]] = start(order, arguments)
            case "broadcast":
                say(ev="said", t=monotonic())
                nodes[order["name"]].broadcast(order["payload"].encode())
                # It keeps its own broadcasts to itself.
                say(ev="user", at=order["name"], about=order["payload"], t=monotonic())
            case "leave":
                say(ev="leaving", t=monotonic())
                nodes[order["name"]].leave()
                say(ev="departed", t=monotonic())
            case _:
                raise ValueError(order)
    for node in nodes.values():
        node.close(0.0)


if __name__ == "__main__":
    main()

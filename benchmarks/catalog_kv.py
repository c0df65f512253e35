"""Keys written and read per second: over HTTP, in the leader's process, and etcd's beside them.

Over HTTP both are asked by the same client (`benchmarks.catalog_http`), by as many connections, at
the leader's own port: ours by Consul's API, etcd by its JSON gateway. The gateway is etcd's slower
door (gRPC is the other), so this compares the two HTTP paths, and no more.
"""

from __future__ import annotations

import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import trio
from benchmarks.catalog_cluster import Registry
from benchmarks.catalog_http import Browser, Loop, Request
from benchmarks.cluster import free_ports, run_node

VALUE = b"v" * 128
KEYS = 1000
START_SECONDS_MAX = 30.0


def key(number: int) -> str:
    return f"load/{number % KEYS:04}"


def our_put(number: int) -> Request:
    return Request("PUT", f"/v1/kv/{key(number)}", VALUE)


def our_get(number: int) -> Request:
    return Request("GET", f"/v1/kv/{key(number)}")


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def etcd_put(number: int) -> Request:
    body = {"key": text(key(number).encode()), "value": text(VALUE)}
    return Request("POST", "/v3/kv/put", json.dumps(body).encode())


def etcd_get(number: int) -> Request:
    body = {"key": text(key(number).encode())}
    return Request("POST", "/v3/kv/range", json.dumps(body).encode())


async def over_http(
    port: int, *, put: Any, get: Any, callers: int, seconds: float
) -> dict[str, dict[str, float]]:
    """Write, then read, at one port."""
    browser = Browser(port)
    for number in range(KEYS):
        assert (await browser.ask(put(number))).status == 200
    await browser.close()
    found = {}
    for name, request in (("put", put), ("get", get)):
        loop = Loop([port], request)
        found[name] = await loop.run(callers=callers, warm=seconds / 4, seconds=seconds)
    return found


async def ours(
    registry: Registry, *, callers: int, seconds: float
) -> dict[str, dict[str, dict[str, float]]]:
    """Over HTTP at the leader, and in its process; reads there also stale."""
    http = await over_http(
        registry.leader.http, put=our_put, get=our_get, callers=callers, seconds=seconds
    )
    inside = {}
    for what in ("put", "get", "stale"):
        load = partial(registry.cluster.measure, "load", what=what, c=callers)
        result = await load(warm=seconds / 4, secs=seconds)
        inside[what] = {
            "rate": result["ops_s"],
            "p50": result["p50_ms"],
            "p99": result["p99_ms"],
        }
    return {"http": http, "inside": inside}


async def etcd(*, callers: int, seconds: float) -> dict[str, dict[str, float]]:
    """The same over HTTP, at etcd's leader."""
    async with open_etcd() as port:
        return await over_http(port, put=etcd_put, get=etcd_get, callers=callers, seconds=seconds)


@asynccontextmanager
async def open_etcd() -> AsyncIterator[int]:
    """Start three of etcd's servers on disks of their own; give the port of the leader."""
    program = shutil.which("etcd")
    if program is None:
        raise SystemExit("--against etcd: there is no program of that name")
    ports = free_ports(6)
    names = [f"e{number}" for number in range(3)]
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    everybody = ",".join(f"{name}={url}" for name, url in zip(names, urls[3:], strict=True))
    with tempfile.TemporaryDirectory(prefix="etcd-benchmark-") as directory:
        async with trio.open_nursery() as nursery:
            for name, mine, peer in zip(names, urls[:3], urls[3:], strict=True):
                argv = [program, "--name", name, "--data-dir", str(Path(directory) / name)]
                argv += ["--listen-client-urls", mine, "--advertise-client-urls", mine]
                argv += ["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
                argv += ["--initial-cluster", everybody, "--initial-cluster-state", "new"]
                await nursery.start(run_node, [*argv, "--log-level", "error"])
            yield await leader_of(ports[:3])
            nursery.cancel_scope.cancel()


async def leader_of(ports: list[int]) -> int:
    """Wait until one of etcd's servers leads; return its port."""
    with trio.fail_after(START_SECONDS_MAX):
        while True:
            for port in ports:
                browser = Browser(port)
                try:
                    answer = await browser.ask(Request("POST", "/v3/maintenance/status", b"{}"))
                except (OSError, trio.BrokenResourceError):
                    continue
                finally:
                    await browser.close()
                status = answer.json() if answer.status == 200 else {}
                me = status.get("header", {}).get("member_id")
                if me is not None and me == status.get("leader"):
                    return port
            await trio.sleep(0.1)

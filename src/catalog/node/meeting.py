"""Meeting the other agents when an agent starts: those named, and those remembered."""

from __future__ import annotations

import logging
from typing import Final

import trio

import rumor
from catalog.config import Address, AgentConfig, parse_address
from catalog.errors import StartError
from catalog.server.bootstrap import Founding

__all__ = ["meet", "resolve"]

log = logging.getLogger("catalog")

RETRY_JOIN_SECONDS: Final = 0.25
"""Between two attempts to meet the others."""


async def meet(config: AgentConfig, gossip: rumor.Agent, founding: Founding | None) -> None:
    """Meet the others: those named, and those remembered; or be met by somebody meanwhile.

    On three machines that start together each may name another one, none of which is up yet. So
    all listen while they try. Nothing is founded before this is over.

    Raises:
        StartError: nobody answered for `config.retry_join` seconds.

    """
    remembered = () if founding is None else founding.seeds
    give_up = trio.current_time() + config.retry_join
    said = False
    while True:
        try:
            seeds = [await resolve(address) for address in (*config.join, *remembered)]
            await gossip.join(seeds)
        except (rumor.JoinFailed, StartError) as error:
            if len(gossip.members) > 1:
                return
            if not config.join or (founding is not None and founding.agreed):
                log.warning("%s", error)  # the whole cluster may be starting again
                return
            where = ", ".join(config.join)
            if trio.current_time() >= give_up:
                raise StartError(
                    f"nobody answers at {where}: start an agent there first, and see that its "
                    f"cluster is {config.cluster!r} ({error})"
                ) from error
            if not said:
                log.info("nobody answers yet at %s; trying again", where)
            said = True
            await trio.sleep(RETRY_JOIN_SECONDS)
        else:
            return


async def resolve(text: str) -> Address:
    """Return the first address of a `host:port`; raise `StartError` if there is none."""
    host, port = parse_address(text, what="join")
    try:
        found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
    except OSError as error:
        raise StartError(f"join {text!r}: the name cannot be resolved: {error}") from error
    address = found[0][4]
    return str(address[0]), int(address[1])

"""The keys of gossip, changed at all agents by one request."""

from __future__ import annotations

from typing import assert_never

import rumor
from catalog.errors import Unavailable
from catalog.housekeeping import ChangeKeys, KeyAction, KeysReport

__all__ = ["change_keys"]


async def change_keys(gossip: rumor.Agent, request: ChangeKeys) -> KeysReport:
    """Do what a request asks for.

    Raises:
        ValueError: there are no keys, or this is none; nothing was changed.
        Unavailable: not all agents obeyed; the cluster goes on, and the request may be repeated.

    """
    try:
        report = await _order(gossip.keys, request)
    except rumor.KeysIncomplete as error:
        raise Unavailable(str(error)) from error
    except rumor.ConfigError as error:
        raise ValueError(str(error)) from error
    return KeysReport(
        len(report.held), dict(report.keys), dict(report.primary), tuple(report.silent)
    )


async def _order(keys: rumor.ClusterKeys, request: ChangeKeys) -> rumor.KeyReport:
    match request.action:
        case KeyAction.LIST:
            return await keys.list()
        case KeyAction.INSTALL:
            return await keys.install(request.key)
        case KeyAction.USE:
            return await keys.use(request.key)
        case KeyAction.REMOVE:
            return await keys.remove(request.key)
        case KeyAction.ROTATE:
            return await keys.rotate(request.key)
        case _:
            assert_never(request.action)

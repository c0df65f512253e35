"""Reads: what each question of `catalog.requests` finds, as of which index, and what wakes it.

A reader that has an answer waits until one of the answer's topics is touched, reads again, and
compares the index. So an index must move whenever the answer changes, and a topic be touched
whenever the index moves; that neither happens for other reasons is what keeps ten thousand
waiters quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from attrs import evolve

from catalog.model import KeyValue, NodeCheck, NodeView, View
from catalog.queries import QueryResult
from catalog.registry.queries import chosen
from catalog.registry.services import has_meta
from catalog.requests import (
    AskedNode,
    AskedQuery,
    AskedSession,
    Checks,
    Coordinates,
    ExecuteQuery,
    Get,
    Items,
    Keys,
    Lookup,
    Nodes,
    Queries,
    Read,
    Services,
    Sessions,
)

if TYPE_CHECKING:
    from catalog.registry.tables import Tables

__all__ = ["Found", "Topic", "find"]

Topic: TypeAlias = tuple[str, str]
"""What readers wait for: a kind of thing, and which; without a name, all of the kind."""

Found: TypeAlias = tuple[Any, int, tuple[Topic, ...]]
"""The value, its index, and the topics to wait for."""

R = TypeVar("R", bound=Read[Any])


def find(tables: Tables, read: Read[Any]) -> Found:
    """Answer a question from the tables."""
    return FINDERS[type(read)](tables, read)


def _lookup(tables: Tables, read: Lookup) -> Found:
    view = tables.services.view(read.name)
    topics: tuple[Topic, ...] = (("service", read.name),)
    found = view.select(healthy=read.healthy, tag=read.tag)
    if read.node_meta:
        here = tuple(one for one in found.instances if has_meta(one.node, read.node_meta))
        found = View(view.index, view.name, here)
    if read.near:
        by_node = [(one.node.name, one) for one in found.instances]
        near = tables.coordinates.sorted_near(read.near, by_node)
        found = View(view.index, view.name, tuple(near))
    return found, view.index, topics


def _services(tables: Tables, read: Services) -> Found:
    index, topics = tables.services.services_index, [("services", "")]
    if read.node_meta:
        index = max(index, tables.services.nodes_index)
        topics.append(("nodes", ""))
    return tables.services.tags(read.node_meta), index, tuple(topics)


def _nodes(tables: Tables, read: Nodes) -> Found:
    services = tables.services
    look = services.node if read.instances else services.bare_node
    found = [view for view in map(look, services.node_names()) if view is not None]
    found = [view for view in found if has_meta(view.node, read.node_meta)]
    if read.near:
        by_name = [(view.node.name, view) for view in found]
        found = tables.coordinates.sorted_near(read.near, by_name)
    if read.instances:
        return tuple(found), services.index, (("everything", ""),)
    return tuple(found), services.nodes_index, (("nodes", ""),)


def _node(tables: Tables, read: AskedNode) -> Found:
    view: NodeView | None = tables.services.node(read.name)
    return view, tables.services.node_index(read.name), (("node", read.name),)


def _checks(tables: Tables, read: Checks) -> Found:
    services = tables.services
    index = services.checks_index(read.status)
    topics = [("checks", read.status.value if read.status else "")]
    found: list[NodeCheck] = services.checks(read.status)
    if read.node_meta:
        found = [one for one in found if has_meta(one.node, read.node_meta)]
        index = max(index, services.nodes_index)
        topics.append(("nodes", ""))
    if read.near:
        by_node = [(one.node.name, one) for one in found]
        found = tables.coordinates.sorted_near(read.near, by_node)
    return tuple(found), index, tuple(topics)


def _get(tables: Tables, read: Get) -> Found:
    entry: KeyValue | None = tables.keys.get(read.key)
    return entry, tables.keys.index(read.key), (("key", read.key),)


def _keys(tables: Tables, read: Keys) -> Found:
    prefix, separator = read.prefix, read.separator
    keys = tables.keys.keys(prefix)
    if separator:
        keys = tuple(dict.fromkeys(_rolled_up(key, len(prefix), separator) for key in keys))
    return keys, tables.keys.prefix_index(prefix), (("prefix", prefix),)


def _rolled_up(key: str, start: int, separator: str) -> str:
    at = key.find(separator, start)
    return key if at < 0 else key[: at + len(separator)]


def _items(tables: Tables, read: Items) -> Found:
    items = tables.keys.items(read.prefix)
    return items, tables.keys.prefix_index(read.prefix), (("prefix", read.prefix),)


def _sessions(tables: Tables, read: Sessions) -> Found:
    sessions = tables.sessions
    index = sessions.node_index(read.node) if read.node else sessions.index
    return sessions.sessions(read.node), index, (("sessions", read.node),)


def _session(tables: Tables, read: AskedSession) -> Found:
    session = tables.sessions.get(read.session)
    return session, tables.sessions.session_index(read.session), (("session", read.session),)


def _queries(tables: Tables, _read: Queries) -> Found:
    return tables.queries.queries(), tables.queries.index, (("queries", ""),)


def _query(tables: Tables, read: AskedQuery) -> Found:
    return tables.queries.get(read.query), tables.queries.index, (("queries", ""),)


def _execute(tables: Tables, read: ExecuteQuery) -> Found:
    query = tables.queries.resolve(read.query)
    index = tables.queries.index
    if query is None:
        return None, index, (("queries", ""),)
    service = query.service
    if read.near:
        service = evolve(service, near=read.near)
    view = tables.services.view(service.service)
    found = chosen(service, view.instances)
    if service.near:
        by_node = [(one.node.name, one) for one in found]
        found = tables.coordinates.sorted_near(service.near, by_node)
    result = QueryResult(evolve(query, service=service), tuple(found))
    topics = (("queries", ""), ("service", service.service))
    return result, max(index, view.index), topics


def _coordinates(tables: Tables, read: Coordinates) -> Found:
    found = tables.coordinates.coordinates(read.node)
    return found, tables.coordinates.index, (("coordinates", ""),)


FINDERS: Final[Mapping[type[Read[Any]], Callable[[Tables, Any], Found]]] = {
    Lookup: _lookup,
    Services: _services,
    Nodes: _nodes,
    AskedNode: _node,
    Checks: _checks,
    Get: _get,
    Keys: _keys,
    Items: _items,
    Sessions: _sessions,
    AskedSession: _session,
    Queries: _queries,
    AskedQuery: _query,
    ExecuteQuery: _execute,
    Coordinates: _coordinates,
}

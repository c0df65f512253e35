"""Prepared queries: the table of them, what name means which, and what it gives.

A name means the query of this id or name; or else the one whose template has the longest name that
it starts with. Then the template is filled in, and the service's instances are chosen.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import Factory, define, evolve

from catalog.answers import Reason, Refusal
from catalog.model import Instance, Status, worst
from catalog.patterns import Pattern
from catalog.queries import PreparedQuery, QueryService
from catalog.registry.image import QueriesImage
from catalog.registry.rows import Rows

__all__ = ["QueryTable", "chosen"]

PLACE = re.compile(r"\$\{(?:name\.(full|prefix|suffix)|match\((\d{1,2})\)|agent\.segment)\}")


@define
class QueryTable:
    """Queries by id."""

    index: int = 0
    """Of the last change to any."""
    _rows: Rows[str, PreparedQuery] = Factory(Rows)
    _by_name: dict[str, str] = Factory(dict)
    """Ids by name, of queries that have one."""

    def get(self, query_id: str) -> PreparedQuery | None:
        """Return a query by id."""
        return self._rows.get(query_id)

    def queries(self) -> tuple[PreparedQuery, ...]:
        """Return all queries, sorted by id."""
        found = map(self._rows.get, sorted(self._rows))
        return tuple(query for query in found if query is not None)

    def of_session(self, session: str) -> list[str]:
        """Return the ids of queries that end with a session, sorted."""
        return sorted(query.id for query in self._rows.values() if query.session == session)

    def set(self, query: PreparedQuery, index: int) -> Reason | None:
        """Keep a query, or replace the one of its id."""
        owner = self._by_name.get(query.name, query.id)
        if query.name and owner != query.id:
            return Refusal.ID_TAKEN, (
                f"the name {query.name!r} belongs to query {owner!r}; nothing was changed: choose "
                f"another name"
            )
        old = self._rows.get(query.id)
        created = index if old is None else old.create_index
        query = evolve(query, create_index=created, modify_index=index)
        if old is not None and evolve(query, modify_index=old.modify_index) == old:
            return None
        self._rows.set(query.id, query)
        self._claim()
        return None

    def delete(self, query_id: str) -> None:
        """Forget a query."""
        if query_id in self._rows:
            self._rows.delete(query_id)
            self._claim()

    def resolve(self, name: str) -> PreparedQuery | None:
        """Return the query that an id or a name means, its template filled in; `None`: none."""
        query = self._rows.get(name) or self._rows.get(self._by_name.get(name, ""))
        if query is None:
            for length in range(len(name), -1, -1):
                query = self._rows.get(self._by_name.get(name[:length], ""))
                if query is not None and query.template is not None:
                    break
                query = self._catch_all() if length == 0 else None
        if query is None or query.template is None:
            return query
        try:
            return _filled_in(query, name)
        except ValueError:
            return None  # what it makes of this name is no service, tag or node

    def commit(self, index: int) -> bool:
        """End an entry: return whether it changed anything here."""
        changed = bool(self._rows.commit())
        if changed:
            self.index = index
        return changed

    def rollback(self) -> None:
        """Take back what the current entry did."""
        if self._rows.touched:
            self._rows.rollback()
            self._claim()

    def image(self) -> QueriesImage:
        """Return all that this table is, in canonical order."""
        return QueriesImage(self.queries(), self.index)

    @classmethod
    def from_image(cls, image: QueriesImage) -> QueryTable:
        """Return the table that made this image."""
        table = cls(image.index, Rows({query.id: query for query in image.queries}))
        table._claim()
        return table

    def _claim(self) -> None:
        """Work out anew whose each name is; there are few queries, and they change seldom."""
        self._by_name = {query.name: query.id for query in self._rows.values() if query.name}

    def _catch_all(self) -> PreparedQuery | None:
        """Return the template without a name, which answers to every name."""
        nameless = (one for one in self.queries() if not one.name and one.template is not None)
        return next(nameless, None)


def _filled_in(query: PreparedQuery, name: str) -> PreparedQuery:
    """Return a query with the places in its template filled in."""
    template = query.template
    assert template is not None, "only templates are filled in"
    groups: tuple[str, ...] = ()
    if template.regexp:
        groups = Pattern(template.regexp).groups(name)
    parts = {"full": name, "prefix": query.name, "suffix": name.removeprefix(query.name)}

    def value(place: re.Match[str]) -> str:
        if place[1]:
            return parts[place[1]]
        if place[2]:
            number = int(place[2])
            return groups[number] if number < len(groups) else ""
        return ""

    service = _mapped(query.service, lambda text: PLACE.sub(value, text))
    if template.remove_empty_tags:
        service = evolve(service, tags=tuple(tag for tag in service.tags if tag.strip("! ")))
    return evolve(query, service=service)


def _mapped(service: QueryService, change: Callable[[str], str]) -> QueryService:
    """Return a query's service with a change made to all of its texts."""
    return evolve(
        service,
        service=change(service.service) or "-",
        near=change(service.near),
        tags=tuple(change(tag) or "!" for tag in service.tags),
        node_meta={key: change(text) for key, text in service.node_meta.items()},
        service_meta={key: change(text) for key, text in service.service_meta.items()},
    )


def chosen(service: QueryService, instances: tuple[Instance, ...]) -> list[Instance]:
    """Return those instances of a service that a query gives, in order."""
    return [instance for instance in instances if _fits(service, instance)]


def _fits(service: QueryService, instance: Instance) -> bool:
    states = [one for one in instance.all_checks if one.id not in service.ignore_check_ids]
    status = worst(state.status for state in states)
    if status is Status.CRITICAL or (service.only_passing and status is not Status.PASSING):
        return False
    if instance.service.terminating:
        return False
    tags = {tag.lower() for tag in instance.service.tags}
    for wanted in service.tags:
        if wanted.startswith("!") and len(wanted) > 1:
            if wanted[1:].lower() in tags:
                return False
        elif wanted.lower() not in tags:
            return False
    node, meta = instance.node.meta, instance.service.meta
    return all(node.get(key) == text for key, text in service.node_meta.items()) and all(
        meta.get(key) == text for key, text in service.service_meta.items()
    )

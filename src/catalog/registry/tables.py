"""All tables together, and what one operation does to them.

An operation is refused before it has changed anything, or it is done. Here is also what follows
from it elsewhere: a check that turns critical ends sessions, a session that ends frees keys and
takes its prepared queries along, a node that goes takes its sessions and its coordinate along.
"""

from __future__ import annotations

from typing import assert_never

from attrs import Factory, define

from catalog.answers import Reason
from catalog.commands import (
    Acquire,
    CreateSession,
    DeleteKey,
    DeleteQuery,
    DeregisterCheck,
    DeregisterNode,
    DeregisterService,
    DestroySession,
    Operation,
    PutKey,
    RegisterCheck,
    RegisterNode,
    RegisterService,
    Release,
    SetCheck,
    SetCoordinates,
    SetNodeHealth,
    SetQuery,
)
from catalog.model import Session, Status
from catalog.registry.coordinates import CoordinateTable
from catalog.registry.image import Image
from catalog.registry.keys import KeyTable
from catalog.registry.locks import Locks
from catalog.registry.queries import QueryTable
from catalog.registry.refusals import (
    critical_check,
    unknown_check,
    unknown_node,
    unknown_session,
)
from catalog.registry.services import ServiceTable
from catalog.registry.sessions import SessionTable

__all__ = ["Tables"]


@define
class Tables:
    """Everything that the catalog knows, but for its history."""

    services: ServiceTable = Factory(ServiceTable)
    keys: KeyTable = Factory(KeyTable)
    sessions: SessionTable = Factory(SessionTable)
    locks: Locks = Factory(lambda self: Locks(self.keys, self.sessions), takes_self=True)
    queries: QueryTable = Factory(QueryTable)
    coordinates: CoordinateTable = Factory(CoordinateTable)

    def operate(self, operation: Operation, index: int, stamp: int) -> Reason | None:
        """Do an operation with all that follows from it; return `None`, or why not."""
        services = self.services
        match operation:
            case PutKey():
                return self.keys.put(operation, index)
            case Acquire():
                return self.locks.acquire(operation, index, stamp)
            case Release():
                return self.locks.release(operation, index)
            case DeleteKey():
                return self.keys.delete(operation)
            case SetCheck(node, check_id, status, output):
                refused = services.set_check(node, check_id, status, output, index)
            case SetNodeHealth(node, status, output):
                refused = services.set_node_health(node, status, output, index)
            case RegisterService():
                refused = services.register_service(operation, index)
            case DeregisterService():
                refused = services.deregister_service(operation)
            case RegisterCheck():
                refused = services.register_check(operation, index)
            case DeregisterCheck():
                refused = services.deregister_check(operation, index)
            case RegisterNode():
                return services.register_node(operation, index)
            case DeregisterNode():
                refused = services.deregister_node(operation)
                self._follow_node(operation.node, index, stamp)
            case CreateSession(session):
                return self._create_session(session, index)
            case DestroySession(session_id):
                self._end_session(session_id, index, stamp)
                return None
            case SetQuery(query):
                if query.session and self.sessions.get(query.session) is None:
                    return unknown_session(query.session)
                return self.queries.set(query, index)
            case DeleteQuery(query_id):
                self.queries.delete(query_id)
                return None
            case SetCoordinates(coordinates):
                for coordinate in coordinates:
                    if services.bare_node(coordinate.node) is not None:
                        self.coordinates.set(coordinate)
                return None
            case _:
                assert_never(operation)
        if services.records.lost_checks:
            self._follow_checks(index, stamp)
        return refused

    def rollback(self) -> None:
        """Take back what the current entry did."""
        self.services.rollback()
        self.keys.rollback()
        self.sessions.rollback()
        self.locks.rollback()
        self.queries.rollback()
        self.coordinates.rollback()

    def image(self, applied: int, clock: int) -> Image:
        """Return all tables at rest."""
        return Image(
            applied=applied,
            clock=clock,
            services=self.services.image(),
            keys=self.keys.image(),
            sessions=self.sessions.image(),
            delays=self.locks.image(),
            queries=self.queries.image(),
            coordinates=self.coordinates.image(),
        )

    @classmethod
    def from_image(cls, image: Image) -> Tables:
        """Return the tables that made this image."""
        keys, sessions = KeyTable.from_image(image.keys), SessionTable.from_image(image.sessions)
        return cls(
            services=ServiceTable.from_image(image.services),
            keys=keys,
            sessions=sessions,
            locks=Locks.from_image(keys, sessions, image.delays),
            queries=QueryTable.from_image(image.queries),
            coordinates=CoordinateTable.from_image(image.coordinates),
        )

    def _create_session(self, session: Session, index: int) -> Reason | None:
        if self.services.bare_node(session.node) is None:
            return unknown_node(session.node)
        for check_id in session.checks:
            check = self.services.check(session.node, check_id)
            if check is None:
                return unknown_check(check_id, session.node)
            if check.state.status is Status.CRITICAL:
                return critical_check(check_id, session.node)
        return self.sessions.create(session, index)

    def _end_session(self, session_id: str, index: int, stamp: int) -> None:
        if self.locks.end(session_id, index, stamp) is not None:
            for query_id in self.queries.of_session(session_id):
                self.queries.delete(query_id)

    def _follow_checks(self, index: int, stamp: int) -> None:
        """End the sessions that stood on checks which turned critical or went."""
        lost = self.services.records.lost_checks
        for node, check_id in lost:
            for session_id in self.sessions.on_check(node, check_id):
                self._end_session(session_id, index, stamp)
        lost.clear()

    def _follow_node(self, node: str, index: int, stamp: int) -> None:
        """End what stood on a node that is gone."""
        if self.services.bare_node(node) is None:
            self.coordinates.forget(node)
            for session_id in self.sessions.on_node(node):
                self._end_session(session_id, index, stamp)

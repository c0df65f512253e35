"""The registry against a naive model, on replicas that take different ways through one log."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from catalog.answers import Applied
from catalog.cache import Cache
from catalog.commands import (
    Acquire,
    Batch,
    Command,
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
    Transaction,
)
from catalog.errors import ProtocolError
from catalog.model import (
    GOSSIP_CHECK,
    Behaviour,
    CheckState,
    Coordinate,
    Node,
    Service,
    Session,
    Status,
    TtlCheck,
    worst,
)
from catalog.queries import PreparedQuery, QueryService
from catalog.registry import Registry
from catalog.requests import (
    AskedNode,
    AskedQuery,
    AskedSession,
    Checks,
    Coordinates,
    Get,
    Items,
    Lookup,
    Nodes,
    Read,
    Services,
    Sessions,
)
from catalog.steps import ExpectAbsent, ExpectHolder, ExpectIndex, ReadKey
from catalog.wire import decode, encode
from quorum.messages import Entries

NODES = ("n1", "n2")
NAMES = ("web", "db", "mail")
IDS = ("a", "b", "c")
CHECKS = ("c1", "c2")
KEYS = ("a", "a/1", "a/2", "b")
PREFIXES = ("", "a", "a/", "b", "zz")
SESSIONS = ("s1", "s2", "s3")
READS: tuple[Read[Any], ...] = (
    *(Lookup(name, healthy=False) for name in NAMES),
    *(AskedNode(name) for name in NODES),
    *(Get(key) for key in KEYS),
    *(Items(prefix) for prefix in PREFIXES),
    *(Checks(status) for status in (None, *Status)),
    *(AskedSession(name) for name in SESSIONS),
    *(Sessions(name) for name in ("", *NODES)),
    Nodes(),
    Nodes(instances=False),
    Coordinates(),
    Services(),
    AskedQuery("q"),
)
COARSE = (Services, AskedQuery)
"""Reads that wake a little more often than their answer changes."""

nodes = st.sampled_from(NODES)
statuses = st.sampled_from(Status)
outputs = st.sampled_from(("", "fine"))
services = st.builds(
    Service,
    name=st.sampled_from(NAMES),
    id=st.sampled_from(IDS),
    tags=st.sampled_from(((), ("blue",))),
    checks=st.lists(st.sampled_from(CHECKS), unique=True, max_size=2).map(
        lambda ids: [TtlCheck(5, id=check_id) for check_id in ids]
    ),
)
keys = st.sampled_from(KEYS)
values = st.sampled_from((b"1", b"2"))
sessions = st.sampled_from(SESSIONS)
cas = st.none() | st.integers(0, 40)
catalog_operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(RegisterService, nodes, services),
    st.builds(RegisterService, nodes, services),
    st.builds(SetCheck, nodes, st.sampled_from(CHECKS), statuses, outputs),
    st.builds(RegisterNode, st.builds(Node, nodes, st.sampled_from(("10.0.0.1", "10.0.0.2")))),
    st.builds(SetNodeHealth, nodes, statuses, outputs),
    st.builds(
        RegisterCheck,
        nodes,
        st.builds(CheckState, st.sampled_from((*CHECKS, "c3")), statuses, outputs),
        st.sampled_from(("", *IDS)),
    ),
    st.builds(DeregisterCheck, nodes, st.sampled_from((*CHECKS, "c3", GOSSIP_CHECK))),
    st.builds(DeregisterService, nodes, st.sampled_from(IDS)),
    st.builds(DeregisterNode, nodes),
    st.builds(
        SetCoordinates,
        st.builds(Coordinate, nodes, st.just((0.0,)), st.sampled_from((0.1, 0.2))).map(
            lambda one: [one]
        ),
    ),
    st.builds(
        SetQuery,
        st.builds(
            PreparedQuery,
            st.just("q"),
            st.builds(QueryService, st.sampled_from(NAMES)),
            session=st.sampled_from(("", *SESSIONS)),
        ),
    ),
    st.just(DeleteQuery("q")),
)
key_operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(
        CreateSession,
        st.builds(
            Session,
            sessions,
            nodes,
            behaviour=st.sampled_from(Behaviour),
            lock_delay=st.sampled_from((0, 1, 60)),
            node_checks=st.sampled_from(((), (GOSSIP_CHECK,))),
            service_checks=st.sampled_from(((), ("c1",))),
        ),
    ),
    st.builds(DestroySession, sessions),
    st.builds(Acquire, keys, values, sessions),
    st.builds(Acquire, keys, values, sessions),
    st.builds(Release, keys, values, sessions),
    st.builds(PutKey, keys, values, flags=st.integers(0, 1), cas=cas),
    st.builds(DeleteKey, keys, cas=cas),
    st.builds(DeleteKey, st.sampled_from(("", "a", "a/", "zz")), recurse=st.just(True)),
)
operations = catalog_operations | key_operations
steps = st.one_of(
    operations,
    operations,
    st.builds(ReadKey, keys, st.booleans()),
    st.builds(ExpectIndex, keys, st.integers(0, 40)),
    st.builds(ExpectHolder, keys, sessions),
    st.builds(ExpectAbsent, keys),
)
commands: st.SearchStrategy[Command] = st.one_of(
    operations,
    operations,
    st.builds(Batch, st.lists(operations, min_size=1, max_size=4)),
    st.builds(Transaction, st.lists(steps, min_size=1, max_size=4)),
)
payloads = st.one_of(commands.map(encode), commands.map(encode), st.binary(max_size=6))
pauses = st.sampled_from((0, 0, 1, 500, 1000, 60_000, 15 * 60_000))
"""Milliseconds of cluster time between two entries."""


def copied(value: Any) -> Any:
    """Return a copy of dicts and lists, and what else is in them as it is."""
    if isinstance(value, dict):
        return {key: copied(one) for key, one in value.items()}
    return [copied(one) for one in value] if isinstance(value, list) else value


class Model:
    """The catalog as a few dicts, written as plainly as can be; no indexes but the keys'."""

    def __init__(self) -> None:
        self.nodes: dict[str, list[Any]] = {}
        """Name to [node, {check id: (status, output)}]."""
        self.services: dict[tuple[str, str], list[Any]] = {}
        """Node name and service id to [service, {check id: (status, output)}]."""
        self.keys: dict[str, dict[str, Any]] = {}
        self.locks: dict[str, int] = {}
        """Key to the highest lock index that it ever had."""
        self.sessions: dict[str, Session] = {}
        self.delays: dict[str, int] = {}
        self.coordinates: dict[str, Coordinate] = {}
        self.query: PreparedQuery | None = None

    def transact(self, steps: tuple[Any, ...], index: int, stamp: int) -> bool:
        """Do all steps or none."""
        before = {name: copied(value) for name, value in self.__dict__.items()}
        done = [self.do(step, index, stamp) for step in steps]
        if not all(done):
            self.__dict__ = before
        return all(done)

    def do(self, step: Any, index: int, stamp: int) -> bool:
        """Do a step with all that follows from it; return whether it could be done."""
        done = self.catalog(step)
        if done is None:
            done = self.kv(step, index, stamp)
        for session in sorted(self.sessions):
            if not self.stands(self.sessions[session]):
                self.end(session, index, stamp)
        return done

    def catalog(self, step: Any) -> bool | None:
        """Do what concerns nodes, services and checks; `None`: it does not."""
        match step:
            case RegisterNode(node):
                self.nodes.setdefault(node.name, [node, {}])[0] = node
            case DeregisterNode(name):
                self.nodes.pop(name, None)
                self.coordinates.pop(name, None)
                self.services = {key: one for key, one in self.services.items() if key[0] != name}
            case SetNodeHealth(name, status, output):
                if name not in self.nodes:
                    return False
                self.nodes[name][1][GOSSIP_CHECK] = (status, output)
            case RegisterService(name, service):
                return self.register(name, service)
            case DeregisterService(name, service_id):
                self.services.pop((name, service_id), None)
            case SetCheck(name, check_id, status, output):
                checks = self.checks_with(name, check_id)
                if checks is None:
                    return False
                checks[check_id] = (status, output)
            case RegisterCheck(name, check, service_id):
                return self.register_check(name, check, service_id)
            case DeregisterCheck(name, check_id):
                checks = self.checks_with(name, check_id)
                if checks is not None:
                    del checks[check_id]
            case SetCoordinates((one,)):
                if one.node in self.nodes:
                    self.coordinates[one.node] = one
            case _:
                return None
        return True

    def checks_with(self, node: str, check_id: str) -> dict[str, Any] | None:
        """Return the checks, of a node or of a service on it, that have this one."""
        if node not in self.nodes:
            return None
        homes = [self.nodes[node][1]]
        homes += [checks for (name, _), (_, checks) in self.services.items() if name == node]
        return next((checks for checks in homes if check_id in checks), None)

    def register(self, name: str, service: Service) -> bool:
        """Enter a service; checks that it had keep their state, new ones start critical."""
        if name not in self.nodes:
            return False
        before, old = self.services.get((name, service.id), [None, {}])
        wanted = service.named_checks()
        for check_id in wanted:
            home = self.checks_with(name, check_id)
            if home is not None and home is not old:
                return False
        defined = () if before is None else before.named_checks()
        checks = {check_id: old.get(check_id, (Status.CRITICAL, "")) for check_id in wanted}
        outside = sorted(old.keys() - checks.keys() - set(defined))
        self.services[name, service.id] = [
            service,
            checks | {check_id: old[check_id] for check_id in outside},
        ]
        return True

    def register_check(self, name: str, check: CheckState, service_id: str) -> bool:
        """Enter a check of a node or of a service on it."""
        home = self.checks_with(name, check.id)
        if service_id:
            target = self.services.get((name, service_id), [None, None])[1]
        else:
            target = self.nodes.get(name, [None, None])[1]
        if target is None or (home is not None and home is not target):
            return False
        target[check.id] = (check.status, check.output)
        return True

    def kv(self, step: Any, index: int, stamp: int) -> bool:
        """Do what concerns keys, sessions and queries."""
        match step:
            case CreateSession(session):
                if session.id in self.sessions or not self.stands(session):
                    return False
                self.sessions[session.id] = session
            case DestroySession(session):
                if session in self.sessions:
                    self.end(session, index, stamp)
            case SetQuery(query):
                if query.session and query.session not in self.sessions:
                    return False
                self.query = query
            case DeleteQuery():
                self.query = None
            case ReadKey(key, required):
                return key in self.keys or not required
            case ExpectIndex(key, expected):
                return bool(expected == self.keys.get(key, {"modified": 0})["modified"])
            case ExpectHolder(key, session):
                return key in self.keys and self.keys[key]["session"] == session
            case ExpectAbsent(key):
                return key not in self.keys
            case _:
                return self.key(step, index, stamp)
        return True

    def key(self, step: Any, index: int, stamp: int) -> bool:
        """Do what concerns one key, or a prefix."""
        old = self.keys.get(step.key)
        holder = "" if old is None else old["session"]
        match step:
            case PutKey(key, value, flags=flags, cas=cas):
                if cas not in (None, 0 if old is None else old["modified"]):
                    return False
                self.write(key, value, flags, holder, index)
            case Acquire(key, value, session):
                if session not in self.sessions or holder not in ("", session):
                    return False
                if not holder:
                    if stamp < self.delays.get(key, 0):
                        return False
                    self.locks[key] = self.locks.get(key, 0) + 1
                self.write(key, value, 0, session, index)
            case Release(key, value, session):
                if not holder or holder != session:
                    return False
                self.write(key, value, 0, "", index)
            case DeleteKey(key, cas=cas, recurse=recurse):
                if not recurse and old is not None and cas not in (None, old["modified"]):
                    return False
                for one in list(self.keys):
                    if one == key or (recurse and one.startswith(key)):
                        del self.keys[one]
        return True

    def write(self, key: str, value: bytes, flags: int, session: str, index: int) -> None:
        """Enter a key."""
        new = {"value": value, "flags": flags, "session": session}
        if key not in self.keys or self.keys[key] != self.keys[key] | new:
            self.keys[key] = {**new, "modified": index}

    def stands(self, session: Session) -> bool:
        """Whether a session's node and checks are there, and no check is critical."""
        homes = [self.checks_with(session.node, check_id) for check_id in session.checks]
        return session.node in self.nodes and all(
            home is not None and home[check_id][0] is not Status.CRITICAL
            for home, check_id in zip(homes, session.checks, strict=True)
        )

    def end(self, session_id: str, index: int, stamp: int) -> None:
        """End a session."""
        session = self.sessions.pop(session_id)
        if self.query is not None and self.query.session == session_id:
            self.query = None
        for key, one in list(self.keys.items()):
            if one["session"] == session_id:
                self.delays[key] = stamp + round(1000 * session.lock_delay)
                if session.behaviour is Behaviour.DELETE:
                    del self.keys[key]
                else:
                    self.write(key, one["value"], one["flags"], "", index)

    def content(self, name: str) -> list[Any]:
        """Return what a lookup must contain."""
        return [
            (self.nodes[node][0], self.nodes[node][1], service, list(checks.items()))
            for (node, _), (service, checks) in sorted(self.services.items())
            if service.name == name
        ]


def content(registry: Registry, name: str) -> list[Any]:
    """Return what a lookup does contain, in the model's terms."""
    return [
        (
            one.node,
            said(one.node_checks + ((one.node_health,) if one.node_health else ())),
            one.service,
            list(said(one.checks).items()),
        )
        for one in registry.lookup(name, healthy=False).instances
    ]


def said(states: tuple[CheckState, ...]) -> dict[str, tuple[Status, str]]:
    """Return checks in the model's terms."""
    return {state.id: (state.status, state.output) for state in states}


def decode_or_none(payload: bytes) -> Command | None:
    """Decode as the registry does; noise is None."""
    try:
        return decode(payload)
    except ProtocolError:
        return None


class RegistryMachine(RuleBasedStateMachine):
    """Three replicas of one log, a model, and a subscriber for each service and prefix."""

    @initialize()
    def start(self) -> None:
        """Begin with two nodes that are well."""
        self.model = Model()
        self.replicas = [Registry(changes_max=size) for size in (2, 6, 1000)]
        self.caches = {name: Cache(name) for name in NAMES}
        self.copies: dict[str, tuple[int | None, dict[str, Any]]] = dict.fromkeys(
            PREFIXES, (None, {})
        )
        self.applied = self.stamp = 0
        for name in NODES:
            self.apply([(encode(RegisterNode(Node(name, "10.0.0.1"))), 0)])
            self.apply([(encode(SetNodeHealth(name, Status.PASSING)), 0)])

    @rule(entries=st.lists(st.tuples(payloads, pauses), min_size=1, max_size=8))
    def apply(self, entries: list[tuple[bytes, int]]) -> None:
        """Apply a run: to one replica whole, to the others entry by entry."""
        first, count = self.applied + 1, len(entries)
        self.applied += count
        stamps = []
        for _, pause in entries:
            self.stamp += pause
            stamps.append(self.stamp)
        payloads = tuple(payload for payload, _ in entries)
        run = Entries(first, (1,) * count, tuple(stamps), bytes(count), payloads)
        whole = self.replicas[0].apply(run)
        single: list[Applied] = []
        for index in range(first, first + count):
            entry = run.slice(index, index + 1)
            before, swept = self.observe()
            self.replicas[2].drain()
            single += self.replicas[2].apply(entry)
            command = decode_or_none(entry.payloads[0])
            self.check_model(index, entry.stamps[0], command, single[-1].ok)
            self.check_indexes(index, before, swept, exact=not isinstance(command, Batch))
        assert whole == single
        assert whole == self.replicas[1].apply(run)

    def observe(self) -> tuple[list[tuple[Any, int, Any]], int]:
        """Return what every read finds, and up to where deletions are forgotten."""
        registry = self.replicas[2]
        found = []
        for read in READS:
            value, index, topics = registry.find(read)
            found.append((value.instances if isinstance(read, Lookup) else value, index, topics))
        return found, registry._tables.keys.swept_index

    def check_model(self, index: int, stamp: int, command: Command | None, ok: bool) -> None:
        """Do the same to the model, and compare the answer."""
        match command:
            case None:
                assert not ok
            case Batch(parts):
                done = [self.model.do(one, index, stamp) for one in parts]
                assert ok == all(done)
            case Transaction(steps):
                assert ok == self.model.transact(steps, index, stamp)
            case _:
                assert ok == self.model.do(command, index, stamp)

    def check_indexes(
        self, index: int, before: list[tuple[Any, int, Any]], swept: int, *, exact: bool
    ) -> None:
        """Check that an index moves, and readers are woken, when there is news, and then only.

        A batch may change a thing there and back, which counts as a change: hence `exact`.
        """
        topics = self.replicas[2].drain().topics
        touched = set(topics) | {
            ("prefix", prefix)
            for kind, key in topics
            if kind == "key"
            for prefix in PREFIXES
            if key.startswith(prefix)
        }
        after, swept_now = self.observe()
        for read, (old, was, waiting), (new, now, _) in zip(READS, before, after, strict=True):
            woken = not touched.isdisjoint(waiting)
            if new != old:
                assert woken, read
                assert index == now, read
            else:
                assert was <= now <= index, read
                swept_away = isinstance(read, Get | Items) and swept != swept_now
                if old and exact and not isinstance(read, COARSE) and not swept_away:
                    assert not woken, read
                    assert was == now, read

    @rule(source=st.integers(0, 2), to=st.integers(0, 2))
    def restore(self, source: int, to: int) -> None:
        """Restore a replica from the snapshot of another, or of itself."""
        self.replicas[to].restore(self.replicas[source].to_bytes())
        assert self.replicas[to].drain().everything

    @rule(name=st.sampled_from(NAMES), source=st.integers(0, 2))
    def subscribe(self, name: str, source: int) -> None:
        """Bring a subscriber up to date from any replica."""
        cache, replica = self.caches[name], self.replicas[source]
        cache.apply(replica.update(name, cache.index), now=0.0)
        view = replica.lookup(name, healthy=False)
        assert view.instances == cache.lookup(healthy=False).instances
        assert cache.index <= view.index
        if view.instances:
            assert view == cache.lookup(healthy=False)

    @rule(prefix=st.sampled_from(PREFIXES), source=st.integers(0, 2))
    def subscribe_keys(self, prefix: str, source: int) -> None:
        """Bring a subscriber to a prefix up to date from any replica."""
        after, copy = self.copies[prefix]
        replica = self.replicas[source]
        update = replica.key_update(prefix, after)
        if update.whole:
            copy = {}
        copy = {**copy, **{one.key: one for one in update.changed}}
        for key, _ in update.deleted:
            del copy[key]
        self.copies[prefix] = (update.index, copy)
        assert replica.find(Items(prefix))[0] == tuple(copy[key] for key in sorted(copy))

    @invariant()
    def replicas_are_equal(self) -> None:
        """Replicas of one log are equal, byte for byte."""
        first, *others = [replica.to_bytes() for replica in self.replicas]
        assert all(first == other for other in others)

    @invariant()
    def model_agrees(self) -> None:
        """The registry holds what the model holds, and aggregates statuses by the worst."""
        model = self.model
        for replica in self.replicas:
            for name in NAMES:
                assert model.content(name) == content(replica, name)
                for one in replica.lookup(name).instances:
                    assert worst(state.status for state in one.all_checks) is Status.PASSING
            items = replica.find(Items(""))[0]
            found = {
                one.key: {
                    "value": one.value,
                    "flags": one.flags,
                    "session": one.session,
                    "modified": one.modify_index,
                }
                for one in items
            }
            assert model.keys == found
            assert sorted(model.keys) == list(found)
            assert sorted(model.nodes) == [view.node.name for view in replica.nodes()]
            assert sorted(model.sessions) == [one.id for one in replica.sessions()]
            assert list(replica.find(Coordinates())[0]) == [
                model.coordinates[name] for name in sorted(model.coordinates)
            ]
            query = replica.find(AskedQuery("q"))[0]
            assert (model.query and model.query.service) == (query and query.service)

    @invariant()
    def locks_are_fenced(self) -> None:
        """A held key has a living holder, and the highest lock index that it ever had."""
        for one in self.replicas[0].find(Items(""))[0]:
            if one.session:
                assert one.session in self.model.sessions
                assert one.lock_index == self.model.locks[one.key]


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=60, stateful_step_count=20, deadline=None)

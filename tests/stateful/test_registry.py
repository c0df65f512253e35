"""The registry against a naive model, on replicas that take different ways through one log."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from catalog.cache import Cache
from catalog.commands import (
    Applied,
    Batch,
    Command,
    DeleteKey,
    DeregisterNode,
    DeregisterService,
    Operation,
    PutKey,
    RegisterNode,
    RegisterService,
    SetCheck,
    SetNodeHealth,
)
from catalog.errors import ProtocolError
from catalog.model import Node, Service, Status, TtlCheck, worst
from catalog.registry import Registry
from catalog.wire import decode, encode
from quorum.messages import Entries

NODES = ("n1", "n2")
NAMES = ("web", "db", "mail")
IDS = ("a", "b", "c")
CHECKS = ("c1", "c2")
KEYS = ("a", "a/1", "a/2", "b")
PREFIXES = ("", "a", "a/", "b", "zz")

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
operations: st.SearchStrategy[Operation] = st.one_of(
    st.builds(RegisterService, nodes, services),
    st.builds(RegisterService, nodes, services),
    st.builds(SetCheck, nodes, st.sampled_from(CHECKS), statuses, outputs),
    st.builds(RegisterNode, st.builds(Node, nodes, st.sampled_from(("10.0.0.1", "10.0.0.2")))),
    st.builds(SetNodeHealth, nodes, statuses, outputs),
    st.builds(SetCheck, nodes, st.sampled_from(CHECKS), statuses, outputs),
    st.builds(DeregisterService, nodes, st.sampled_from(IDS)),
    st.builds(DeregisterNode, nodes),
    st.builds(
        PutKey,
        keys,
        st.sampled_from((b"1", b"2")),
        flags=st.integers(0, 1),
        cas=st.none() | st.integers(0, 40),
    ),
    st.builds(DeleteKey, keys, cas=st.none() | st.integers(0, 40)),
    st.builds(DeleteKey, st.sampled_from(("", "a", "a/", "zz")), recurse=st.just(True)),
)
commands: st.SearchStrategy[Command] = operations | st.builds(
    Batch, st.lists(operations, min_size=1, max_size=4)
)
payloads = st.one_of(commands.map(encode), commands.map(encode), st.binary(max_size=6))


def run(first: int, payloads: list[bytes]) -> Entries:
    """Return a run of command entries."""
    count = len(payloads)
    return Entries(first, (1,) * count, (0,) * count, bytes(count), tuple(payloads))


class Model:
    """The catalog as three dicts, written as plainly as can be; no indexes but the keys'."""

    def __init__(self) -> None:
        self.nodes: dict[str, list[Any]] = {}
        """Name to [node, health]."""
        self.services: dict[tuple[str, str], list[Any]] = {}
        """Node name and service id to [service, {check id: (status, output)}]."""
        self.keys: dict[str, tuple[bytes, int, int]] = {}
        """Key to value, flags and modify index."""

    def do(self, operation: Operation, index: int) -> bool:
        """Do an operation; return whether it could be done."""
        match operation:
            case RegisterNode(node):
                self.nodes.setdefault(node.name, [node, None])[0] = node
            case DeregisterNode(name):
                self.nodes.pop(name, None)
                self.services = {key: one for key, one in self.services.items() if key[0] != name}
            case SetNodeHealth(name, status, output):
                if name not in self.nodes:
                    return False
                self.nodes[name][1] = (status, output)
            case RegisterService(name, service):
                return self.register(name, service)
            case DeregisterService(name, service_id):
                self.services.pop((name, service_id), None)
            case SetCheck(name, check_id, status, output):
                for key, (_, checks) in self.services.items():
                    if key[0] == name and check_id in checks:
                        checks[check_id] = (status, output)
                        return True
                return False
            case PutKey(key, value, flags=flags, cas=cas):
                value_is, flags_is, modified = self.keys.get(key, (None, None, 0))
                if cas not in (None, modified):
                    return False
                if (value, flags) != (value_is, flags_is):
                    self.keys[key] = (value, flags, index)
            case DeleteKey(prefix, cas=cas, recurse=recurse):
                if recurse:
                    self.keys = {k: v for k, v in self.keys.items() if not k.startswith(prefix)}
                elif prefix in self.keys:
                    if cas not in (None, self.keys[prefix][2]):
                        return False
                    del self.keys[prefix]
        return True

    def register(self, name: str, service: Service) -> bool:
        """Do a RegisterService."""
        if name not in self.nodes:
            return False
        wanted = set(service.named_checks())
        for (node, service_id), (_, checks) in self.services.items():
            if node == name and service_id != service.id and checks.keys() & wanted:
                return False
        old = self.services.get((name, service.id), [None, {}])[1]
        new = (Status.CRITICAL, "")
        checks = {check_id: old.get(check_id, new) for check_id in service.named_checks()}
        self.services[name, service.id] = [service, checks]
        return True

    def content(self, name: str) -> list[Any]:
        """Return what a lookup must contain."""
        return [
            (self.nodes[node][0], self.nodes[node][1], service, tuple(checks.items()))
            for (node, _), (service, checks) in sorted(self.services.items())
            if service.name == name
        ]


def content(registry: Registry, name: str) -> list[Any]:
    """Return what a lookup does contain, in the model's terms."""
    return [
        (
            one.node,
            one.node_health and (one.node_health.status, one.node_health.output),
            one.service,
            tuple((state.id, (state.status, state.output)) for state in one.checks),
        )
        for one in registry.lookup(name, healthy=False).instances
    ]


def decode_or_none(payload: bytes) -> Command | None:
    """Decode as the registry does; noise is None."""
    try:
        return decode(payload)
    except ProtocolError:
        return None


class RegistryMachine(RuleBasedStateMachine):
    """Three replicas of one log, a model, and a subscriber for each service."""

    @initialize()
    def start(self) -> None:
        """Begin with nothing."""
        self.model = Model()
        self.replicas = [Registry(changes_max=size) for size in (2, 6, 1000)]
        self.caches = {name: Cache(name) for name in NAMES}
        self.applied = 0
        self.apply([encode(RegisterNode(Node(name, "10.0.0.1"))) for name in NODES])

    @rule(entries=st.lists(payloads, min_size=1, max_size=8))
    def apply(self, entries: list[bytes]) -> None:
        """Apply a run: to one replica whole, to the others entry by entry."""
        first = self.applied + 1
        self.applied += len(entries)
        whole = self.replicas[0].apply(run(first, entries))
        single: list[Applied] = []
        for index, payload in enumerate(entries, first):
            before, was = self.observe()
            self.replicas[2].drain()
            single += self.replicas[2].apply(run(index, [payload]))
            command = decode_or_none(payload)
            self.check_model(index, command, single[-1].ok)
            self.check_indexes(index, before, was, exact=not isinstance(command, Batch))
        assert whole == single
        assert whole == self.replicas[1].apply(run(first, entries))

    def observe(self) -> tuple[dict[str, Any], dict[str, int]]:
        """Return what readers of services and of prefixes see, and at which index."""
        registry = self.replicas[2]
        seen: dict[str, Any] = {name: content(registry, name) for name in NAMES}
        indexes = {name: registry.lookup(name).index for name in NAMES}
        for prefix in PREFIXES:
            seen[prefix] = [(one.key, one.value, one.flags) for one in registry.items(prefix)]
            indexes[prefix] = registry.prefix_index(prefix)
        return seen, indexes

    def check_model(self, index: int, command: Command | None, ok: bool) -> None:
        """Do the same to the model, and compare the answer."""
        if command is None:
            assert not ok
        elif isinstance(command, Batch):
            done = [self.model.do(one, index) for one in command.commands]
            assert ok == all(done)
        else:
            assert ok == self.model.do(command, index)

    def check_indexes(
        self, index: int, before: dict[str, Any], was: dict[str, int], *, exact: bool
    ) -> None:
        """Check that an index moves, and readers are woken, when there is news, and then only.

        A batch may change a thing there and back, which counts as a change: hence `exact`.
        """
        touched = self.replicas[2].drain()
        after, now = self.observe()
        for reader, seen in before.items():
            woken = reader in touched.services or any(
                reader in PREFIXES and key.startswith(reader) for key in touched.keys
            )
            if after[reader] != seen:
                assert woken
                assert index == now[reader]
            elif seen or reader in PREFIXES:
                assert now[reader] in ({was[reader]} if exact else {was[reader], index})
                assert not (exact and woken)
            else:  # a service without instances answers with the last extinction of any
                assert was[reader] <= now[reader] <= index

    @rule(source=st.integers(0, 2), to=st.integers(0, 2))
    def restore(self, source: int, to: int) -> None:
        """Restore a replica from the snapshot of another, or of itself."""
        self.replicas[to].restore(self.replicas[source].snapshot())
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

    @invariant()
    def replicas_are_equal(self) -> None:
        """Replicas of one log are equal, byte for byte."""
        first, *others = [replica.snapshot() for replica in self.replicas]
        assert all(first == other for other in others)

    @invariant()
    def model_agrees(self) -> None:
        """The registry holds what the model holds, and aggregates statuses by the worst."""
        for replica in self.replicas:
            for name in NAMES:
                assert self.model.content(name) == content(replica, name)
                for one in replica.lookup(name).instances:
                    states = [*one.checks, *([one.node_health] if one.node_health else [])]
                    assert worst(state.status for state in states) is Status.PASSING
            found = {kv.key: (kv.value, kv.flags, kv.modify_index) for kv in replica.items()}
            assert self.model.keys == found
            assert sorted(self.model.keys) == list(found)
            assert sorted(self.model.nodes) == [view.node.name for view in replica.nodes()]


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)

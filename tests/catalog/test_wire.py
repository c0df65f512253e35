"""Nothing is coerced, nothing is skipped, and everything comes back as it went."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import commands, model, steps, wire
from catalog.commands import Batch, DeleteKey, PutKey, RegisterService, SetNodeHealth
from catalog.errors import ProtocolError
from catalog.model import (
    Change,
    ChangeKind,
    CheckState,
    Delta,
    HttpCheck,
    Instance,
    Node,
    NodeView,
    Role,
    Service,
    Status,
    TcpCheck,
    TtlCheck,
    Update,
    View,
)

NODE = Node("n1", "10.0.0.1", {"zone": "a"}, Role.SERVER, "dc2")
HEALTH = CheckState("serfHealth", Status.PASSING, "fine")
SERVICE = Service(
    "web",
    "w1",
    "10.1.1.1",
    80,
    ["blue"],
    {"v": "1"},
    [
        TtlCheck(5, deregister_critical_after=60),
        HttpCheck("http://10.1.1.1/", interval=1, timeout=0.5, id="up", success_before_passing=2),
        TcpCheck("[::1]:80"),
    ],
)
INSTANCE = Instance(NODE, SERVICE, HEALTH, (CheckState("up", Status.WARNING),), 3, 9)
PUT = {"type": "put-key", "key": "k", "value": b"", "flags": 0, "cas": None}

texts = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=8)
nodes = st.builds(Node, texts, texts, st.dictionaries(texts, texts, max_size=2))
states = st.builds(CheckState, texts, st.sampled_from(Status), st.text(max_size=5))
indexes = st.integers(0, 2**63)
services = st.builds(
    Service,
    texts,
    id=texts,
    address=texts | st.just(""),
    port=st.integers(0, 65535),
    tags=st.lists(texts, max_size=2),
    meta=st.dictionaries(texts, texts, max_size=2),
    checks=st.lists(
        st.builds(TtlCheck, st.floats(0.01, 1e6)) | st.builds(HttpCheck, texts), max_size=3
    ),
    weights=st.builds(model.Weights, st.integers(0, 9), st.integers(0, 9)),
    tagged_addresses=st.dictionaries(
        texts, st.builds(model.ServiceAddress, texts, st.integers(0, 9)), max_size=2
    ),
    terminating=st.booleans(),
)
instances = st.builds(
    Instance,
    nodes,
    services,
    st.none() | states,
    st.lists(states, max_size=2).map(tuple),
    indexes,
    indexes,
)
operations = st.one_of(
    st.builds(RegisterService, texts, services),
    st.builds(SetNodeHealth, texts, st.sampled_from(Status), st.text(max_size=9)),
    st.builds(PutKey, texts, st.binary(max_size=9), cas=st.none() | indexes),
    st.builds(DeleteKey, texts),
    st.builds(commands.Acquire, texts, st.binary(max_size=9), texts),
    st.builds(commands.RegisterCheck, texts, states, texts | st.just("")),
    st.builds(
        commands.CreateSession,
        st.builds(
            model.Session,
            texts,
            texts,
            behaviour=st.sampled_from(model.Behaviour),
            ttl=st.none() | st.floats(1, 86400),
            lock_delay=st.floats(0, 60),
            service_checks=st.lists(texts, max_size=2),
        ),
    ),
    st.builds(
        commands.SetCoordinates,
        st.lists(
            st.builds(
                model.Coordinate,
                texts,
                st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
            ),
            min_size=1,
            max_size=2,
        ),
    ),
)
readings = st.builds(steps.ReadKey, texts, st.booleans()) | st.builds(steps.ReadTree, texts)
expectations = st.builds(steps.ExpectIndex, texts, indexes)
transactions = st.builds(
    commands.Transaction,
    st.lists(operations | readings | expectations, min_size=1, max_size=3),
)


@settings(deadline=None)
@given(
    st.one_of(
        operations,
        transactions,
        st.builds(Batch, st.lists(operations, min_size=1, max_size=3)),
    )
)
def test_commands_come_back(command: commands.Command) -> None:
    """Any command decodes to itself, and to the same bytes again."""
    payload = wire.encode(command)

    assert command == wire.decode(payload)
    assert payload == wire.encode(wire.decode(payload))


@settings(deadline=None)
@given(st.builds(View, indexes, texts, st.lists(instances, max_size=2).map(tuple)))
def test_views_come_back(view: View) -> None:
    """Any view decodes to itself, alone and as an update."""
    assert view == wire.loads(wire.dumps(view), View)
    assert view == wire.loads(wire.dumps(view, Update), Update)


@pytest.mark.parametrize(
    "value",
    [
        SERVICE,
        INSTANCE,
        NodeView(NODE, None, 1, 2, (INSTANCE,)),
        Delta(1, 9, "web", (Change(9, ChangeKind.REMOVED, INSTANCE),)),
        model.KeyValue("k", b"v", 1, 2, 3),
        commands.Applied(3, commands.Refusal.CONFLICT, "no", (commands.Applied(3),)),
        commands.Applied(3, values=(model.KeyValue("k", b""), INSTANCE)),
    ],
)
def test_values_of_the_model_come_back(value: object) -> None:
    """Each value of the model decodes to itself by its own type."""
    assert value == wire.loads(wire.dumps(value), type(value))


def test_containers_of_values_come_back() -> None:
    """A reader may ask for several values at once."""
    nodes = (NodeView(NODE, HEALTH, 1, 2),)
    kind = tuple[NodeView, ...]

    assert nodes == wire.loads(wire.dumps(nodes, kind), kind)


def test_equal_values_have_equal_bytes() -> None:
    """The order in which metadata was given leaves no trace."""
    one = Service("web", meta={"a": "1", "b": "2"})
    other = Service("web", meta={"b": "2", "a": "1"})

    assert wire.dumps(one) == wire.dumps(other)


def test_tags_are_frozen() -> None:
    """Tags are in people's logs: this list may grow, and must not otherwise change."""
    assert {kind.__name__: tag for kind, tag in wire.TAGS.items()} == {
        "RegisterNode": "register-node",
        "DeregisterNode": "deregister-node",
        "RegisterService": "register-service",
        "DeregisterService": "deregister-service",
        "RegisterCheck": "register-check",
        "DeregisterCheck": "deregister-check",
        "SetCheck": "set-check",
        "SetNodeHealth": "set-node-health",
        "PutKey": "put-key",
        "Acquire": "acquire",
        "Release": "release",
        "DeleteKey": "delete-key",
        "CreateSession": "create-session",
        "DestroySession": "destroy-session",
        "SetQuery": "set-query",
        "DeleteQuery": "delete-query",
        "SetCoordinates": "set-coordinates",
        "Batch": "batch",
        "Transaction": "transaction",
        "ReadKey": "read-key",
        "ReadTree": "read-tree",
        "ReadNode": "read-node",
        "ReadService": "read-service",
        "ReadCheck": "read-check",
        "ExpectIndex": "expect-index",
        "ExpectHolder": "expect-holder",
        "ExpectAbsent": "expect-absent",
        "TtlCheck": "ttl",
        "HttpCheck": "http",
        "TcpCheck": "tcp",
        "UdpCheck": "udp",
        "GrpcCheck": "grpc",
        "ScriptCheck": "script",
        "AliasCheck": "alias",
        "View": "view",
        "Delta": "delta",
        "KeyValue": "key",
        "NodeView": "node",
        "Instance": "instance",
        "NodeCheck": "check",
    }


@pytest.mark.parametrize(
    "plain",
    [
        1,
        [],
        "put-key",
        {},
        {"type": "nope"},
        {"type": []},
        {"type": "ttl", "ttl": 5.0},
        {**PUT, "key": 5},
        {**PUT, "key": b"k"},
        {**PUT, "key": ""},
        {**PUT, "value": "text"},
        {**PUT, "flags": True},
        {**PUT, "flags": "0"},
        {**PUT, "flags": 0.0},
        {**PUT, "flags": 2**70},
        {**PUT, "cas": False},
        {**PUT, "extra": 1},
        {"type": "put-key", "key": "k"},
        {"type": "delete-key", "key": "k", "recurse": 1},
        {"type": "set-check", "node": "n", "check_id": "c", "status": 1},
        {"type": "set-check", "node": "n", "check_id": "c", "status": "fine"},
        {"type": "batch", "commands": "abc"},
        {"type": "batch", "commands": {"0": PUT}},
        {"type": "batch", "commands": []},
        {"type": "batch", "commands": [{"type": "batch", "commands": [PUT]}]},
        {"type": "register-service", "node": "n", "service": {"name": "w", "tags": "ab"}},
        {"type": "register-service", "node": "n", "service": {"name": "w", "meta": {"k": 1}}},
        {"type": "register-service", "node": "n", "service": {"name": "w", "meta": [["k", "v"]]}},
        {"type": "register-service", "node": "n", "service": {"name": "w", "port": 70000}},
        {
            "type": "register-service",
            "node": "n",
            "service": {"name": "w", "checks": [{"type": "ttl", "ttl": 5}]},
        },
    ],
)
def test_what_is_not_exactly_a_command_is_refused(plain: Any) -> None:
    """Wrong types, values, tags, fields and shapes all give the one error."""
    with pytest.raises(ProtocolError):
        wire.decode(cbor2.dumps(plain))


def test_the_example_of_a_put_is_valid() -> None:
    """The dict that the refusals above vary is itself a command."""
    assert PutKey("k", b"") == wire.decode(cbor2.dumps(PUT))


@settings(deadline=None)
@given(st.binary(max_size=64))
def test_noise_gives_the_one_error(noise: bytes) -> None:
    """No bytes make the decoder raise anything else."""
    with suppress(ProtocolError):
        wire.decode(noise)


@settings(deadline=None)
@given(st.data())
def test_damage_gives_the_one_error_or_another_command(data: st.DataObject) -> None:
    """A flipped byte is either noticed or makes some other valid command; it never crashes."""
    payload = bytearray(wire.encode(RegisterService("n1", SERVICE)))
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    try:
        command = wire.decode(bytes(payload))
    except ProtocolError:
        return

    assert command == wire.decode(wire.encode(command))


def test_bytes_after_a_command_are_refused() -> None:
    """An entry is one command and nothing else."""
    with pytest.raises(ProtocolError, match="1 bytes too many"):
        wire.decode(wire.encode(DeleteKey("k")) + b"\0")


def test_too_big_to_send_is_refused() -> None:
    """A command over the limit is not made: nothing was sent, and the error says so."""
    big = Batch([PutKey(str(n), bytes(500_000)) for n in range(3)])

    with pytest.raises(ProtocolError, match="nothing was sent"):
        wire.encode(big)


def test_too_big_to_read_is_refused() -> None:
    """Bytes over the limit are not even looked at."""
    with pytest.raises(ProtocolError, match="at most"):
        wire.decode(bytes(wire.COMMAND_BYTES_MAX + 1))


def test_text_that_is_not_unicode_is_refused() -> None:
    """A lone surrogate has no UTF-8; the caller learns it before anything is sent."""
    with pytest.raises(ProtocolError, match="cannot encode"):
        wire.encode(PutKey("\ud800", b""))

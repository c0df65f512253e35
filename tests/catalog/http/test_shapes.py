"""Our values as Consul's JSON objects."""

from __future__ import annotations

from catalog.http import shapes
from catalog.model import (
    CheckState,
    Instance,
    KeyValue,
    Node,
    NodeView,
    Service,
    ServiceAddress,
    Session,
    Status,
    Weights,
)

NODE = Node("n1", "10.0.0.1", meta={"k": "v"}, id="u", tagged_addresses={"lan": "10.0.0.1"})
SERVICE = Service(
    "web",
    "web1",
    address="10.0.0.2",
    port=80,
    tags=("a",),
    weights=Weights(3, 2),
    tagged_addresses={"wan": ServiceAddress("1.2.3.4", 8080)},
)
GOSSIP = CheckState("serfHealth", Status.PASSING)
CHECK = CheckState("service:web1", Status.WARNING, "so", name="N", notes="o", kind="ttl")
INSTANCE = Instance(NODE, SERVICE, GOSSIP, (CHECK,), 4, 5)

CHECK_SHAPE = {
    "Node": "n1",
    "CheckID": "service:web1",
    "Name": "N",
    "Status": "warning",
    "Notes": "o",
    "Output": "so",
    "ServiceID": "web1",
    "ServiceName": "web",
    "ServiceTags": ["a"],
    "Type": "ttl",
    "Interval": "",
    "Timeout": "",
    "ExposedPort": 0,
    "Definition": {},
    "CreateIndex": 0,
    "ModifyIndex": 0,
}
NODE_SHAPE = {
    "ID": "u",
    "Node": "n1",
    "Address": "10.0.0.1",
    "Datacenter": "dc1",
    "TaggedAddresses": {"lan": "10.0.0.1"},
    "Meta": {"k": "v"},
    "CreateIndex": 4,
    "ModifyIndex": 5,
}
SERVICE_SHAPE = {
    "ID": "web1",
    "Service": "web",
    "Tags": ["a"],
    "Address": "10.0.0.2",
    "TaggedAddresses": {"wan": {"Address": "1.2.3.4", "Port": 8080}},
    "Meta": {},
    "Port": 80,
    "Weights": {"Passing": 3, "Warning": 2},
    "EnableTagOverride": False,
    "Proxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
    "Connect": {},
    "CreateIndex": 4,
    "ModifyIndex": 5,
}


def test_a_key():
    """The value in base64 or null; a session only if one holds it."""
    item = KeyValue("k", b"v", 7, create_index=1, modify_index=2, lock_index=3, session="s")

    assert {
        "LockIndex": 3,
        "Key": "k",
        "Flags": 7,
        "Value": "dg==",
        "Session": "s",
        "CreateIndex": 1,
        "ModifyIndex": 2,
    } == shapes.key_value(item)
    assert shapes.key_value(item, value=False)["Value"] is None
    assert "Session" not in shapes.key_value(KeyValue("k", b""))


def test_a_session():
    """Durations in nanoseconds and in words; checks of services as objects, or null."""
    one = Session("s", "n1", ttl=90.0, lock_delay=1.5, service_checks=("c",))

    assert {
        "ID": "s",
        "Name": "",
        "Node": "n1",
        "LockDelay": 1_500_000_000,
        "Behavior": "release",
        "TTL": "90s",
        "NodeChecks": ["serfHealth"],
        "ServiceChecks": [{"ID": "c", "Namespace": ""}],
        "CreateIndex": 0,
        "ModifyIndex": 0,
    } == shapes.session(one)
    assert shapes.session(Session("s", "n1"))["ServiceChecks"] is None


def test_an_instance_in_health():
    """Node, service, and the checks of both, gossip first."""
    found = shapes.health_entry(INSTANCE)

    assert (NODE_SHAPE, SERVICE_SHAPE) == (found["Node"], found["Service"])
    assert ["serfHealth", "service:web1"] == [one["CheckID"] for one in found["Checks"]]
    assert CHECK_SHAPE == found["Checks"][1]
    assert ("", []) == (found["Checks"][0]["ServiceID"], found["Checks"][0]["ServiceTags"])


def test_an_instance_in_the_catalog():
    """Everything in one object."""
    assert {
        "ID": "u",
        "Node": "n1",
        "Address": "10.0.0.1",
        "Datacenter": "dc1",
        "TaggedAddresses": {"lan": "10.0.0.1"},
        "NodeMeta": {"k": "v"},
        "ServiceKind": "",
        "ServiceID": "web1",
        "ServiceName": "web",
        "ServiceTags": ["a"],
        "ServiceAddress": "10.0.0.2",
        "ServiceTaggedAddresses": {"wan": {"Address": "1.2.3.4", "Port": 8080}},
        "ServiceWeights": {"Passing": 3, "Warning": 2},
        "ServiceMeta": {},
        "ServicePort": 80,
        "ServiceSocketPath": "",
        "ServiceEnableTagOverride": False,
        "ServiceProxy": {"Mode": "", "MeshGateway": {}, "Expose": {}},
        "ServiceConnect": {},
        "CreateIndex": 4,
        "ModifyIndex": 5,
    } == shapes.catalog_service(INSTANCE)


def test_the_checks_of_a_node():
    """Its own, then those of what runs on it."""
    disk = CheckState("disk", Status.CRITICAL)
    view = NodeView(NODE, GOSSIP, 4, 5, (INSTANCE,), (disk,))

    assert ["serfHealth", "disk", "service:web1"] == [
        one["CheckID"] for one in shapes.node_checks(view)
    ]

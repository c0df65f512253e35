"""The snapshot's format."""

from __future__ import annotations

import pytest

from catalog.errors import ProtocolError
from catalog.model import (
    CheckState,
    Coordinate,
    Instance,
    KeyValue,
    Node,
    Service,
    Session,
    Status,
)
from catalog.queries import PreparedQuery, QueryService
from catalog.registry.image import (
    CoordinatesImage,
    Image,
    InstanceRow,
    KeysImage,
    NodeRow,
    QueriesImage,
    ServicesImage,
    SessionsImage,
    Tombstone,
)

NODE = Node("n1", "10.0.0.1")
HEALTH = CheckState("serfHealth", Status.PASSING)
STATES = (CheckState("c", Status.WARNING),)
DISK = (CheckState("disk", Status.PASSING),)
ROW = NodeRow(NODE, HEALTH, DISK, 1, 2, 4, (InstanceRow(Service("web"), STATES, 3, 4),))
IMAGE = Image(
    applied=9,
    clock=1000,
    services=ServicesImage((ROW,), (("web", 4),), 4, 2, 4, 0, 0, (1, 2, 3)),
    keys=KeysImage((KeyValue("k", b"v", 0, 5, 5, 1, "s"),), (("gone", Tombstone(6, 0, 1)),), 0, 0),
    sessions=SessionsImage((Session("s", "n1"),), 5, (("n1", 5),), 0),
    delays=(("gone", 2000),),
    queries=QueriesImage((PreparedQuery("q", QueryService("web")),), 7),
    coordinates=CoordinatesImage((Coordinate("n1", (0.0, 1.0)),), 8),
)


def test_an_image_comes_back() -> None:
    """An image is read as it was written, and its bytes are stable."""
    assert Image.from_bytes(IMAGE.to_bytes()) == IMAGE
    assert IMAGE.to_bytes() == Image.from_bytes(IMAGE.to_bytes()).to_bytes()


def test_an_image_may_be_cut_anywhere() -> None:
    """Chunks come as the disk or the network cut them."""
    data = IMAGE.to_bytes()
    for size in (1, 7, 1000):
        chunks = (data[start : start + size] for start in range(0, len(data), size))
        assert Image.from_chunks(chunks) == IMAGE


def test_rows_are_joined_again() -> None:
    """A row gets its node and the node's health back."""
    assert (Instance(NODE, Service("web"), HEALTH, STATES, 3, 4, DISK),) == ROW.joined()


@pytest.mark.parametrize(
    "snapshot",
    [b"", b"catalog/1\n" + IMAGE.to_bytes()[10:], IMAGE.to_bytes()[:-1], IMAGE.to_bytes() + b"\0"],
    ids=["empty", "other version", "torn", "too long"],
)
def test_what_is_no_image_is_refused(snapshot: bytes) -> None:
    """A snapshot of another format, or a damaged one, is not half read."""
    with pytest.raises(ProtocolError):
        Image.from_bytes(snapshot)

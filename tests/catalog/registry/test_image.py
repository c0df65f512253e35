"""The snapshot's format."""

from __future__ import annotations

import pytest

from catalog.errors import ProtocolError
from catalog.model import CheckState, Instance, KeyValue, Node, Service, Status
from catalog.registry.image import Image, InstanceRow, KeysImage, NodeRow, ServicesImage

NODE = Node("n1", "10.0.0.1")
HEALTH = CheckState("gossip", Status.PASSING)
STATES = (CheckState("c", Status.WARNING),)
ROW = NodeRow(NODE, HEALTH, 1, 2, (InstanceRow(Service("web"), STATES, 3, 4),))
IMAGE = Image(
    9,
    ServicesImage((ROW,), (("web", 4),), 2, 4, 0),
    KeysImage((KeyValue("k", b"v", 0, 5, 5),), (("gone", 6),), 0),
)


def test_an_image_comes_back() -> None:
    """An image is read as it was written, and its bytes are stable."""
    assert Image.from_bytes(IMAGE.to_bytes()) == IMAGE
    assert IMAGE.to_bytes() == Image.from_bytes(IMAGE.to_bytes()).to_bytes()


def test_rows_are_joined_again() -> None:
    """A row gets its node and the node's health back."""
    assert (Instance(NODE, Service("web"), HEALTH, STATES, 3, 4),) == ROW.joined()


@pytest.mark.parametrize(
    "snapshot",
    [b"", b"catalog/2\n" + IMAGE.to_bytes()[10:], IMAGE.to_bytes()[:-1], IMAGE.to_bytes() + b"\0"],
    ids=["empty", "other version", "torn", "too long"],
)
def test_what_is_no_image_is_refused(snapshot: bytes) -> None:
    """A snapshot of another format, or a damaged one, is not half read."""
    with pytest.raises(ProtocolError):
        Image.from_bytes(snapshot)

"""What commands refuse to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from catalog.commands import (
    BATCH_COMMANDS_MAX,
    Applied,
    Batch,
    DeleteKey,
    DeregisterNode,
    PutKey,
    Refusal,
    RegisterNode,
    RegisterService,
    SetCheck,
    batches,
)
from catalog.model import Status


@pytest.mark.parametrize(
    "make",
    [
        lambda: PutKey("k", b"", cas=-1),
        lambda: PutKey("k", b"", cas=True),
        lambda: PutKey("", b""),
        lambda: DeleteKey(""),
        lambda: DeleteKey("k", cas=1, recurse=True),
        lambda: DeregisterNode(""),
        lambda: Batch([]),
        lambda: Batch([DeleteKey("k")] * (BATCH_COMMANDS_MAX + 1)),
    ],
    ids=[
        "negative cas",
        "cas is a bool",
        "no key to put",
        "no key to delete",
        "cas of many",
        "no node",
        "empty batch",
        "big batch",
    ],
)
def test_nonsense_is_refused(make: Callable[[], Any]) -> None:
    """A command that can have no meaning cannot be made."""
    with pytest.raises(ValueError, match=r"must|has|use"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: RegisterNode("n1"),  # type: ignore[arg-type]
        lambda: RegisterService("n1", "web"),  # type: ignore[arg-type]
        lambda: SetCheck("n1", "c", "passing"),  # type: ignore[arg-type]
        lambda: Batch([Batch([DeleteKey("k")])]),
    ],
    ids=["node", "service", "status", "batch"],
)
def test_a_wrong_type_is_refused(make: Callable[[], Any]) -> None:
    """A command takes what it is made for, and a batch no batches."""
    with pytest.raises(TypeError):
        make()


def test_an_empty_prefix_means_all_keys() -> None:
    """Only a recursive delete may leave the key empty."""
    assert DeleteKey("", recurse=True).key == ""


def test_output_of_a_check_is_cut() -> None:
    """A check may say as much as it likes; the log takes 4096 characters of it."""
    assert len(SetCheck("n1", "c", Status.PASSING, "x" * 9999).output) == 4096


def test_batches_keep_order_and_the_limit() -> None:
    """Operations are packed in order, a lone one goes bare, none give none."""
    operations = [DeleteKey(str(n)) for n in range(BATCH_COMMANDS_MAX + 1)]

    assert (Batch(operations[:-1]), operations[-1]) == batches(operations)
    assert batches([]) == ()


def test_an_answer_is_ok_unless_refused() -> None:
    """`ok` is the absence of a refusal."""
    assert Applied(1).ok
    assert not Applied(1, Refusal.CONFLICT).ok

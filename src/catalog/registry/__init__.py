"""The replicated state machine of the catalog (signatures; the body follows)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import Factory, define

from catalog.commands import Applied
from catalog.model import Change, KeyValue, NodeView, Update, View

if TYPE_CHECKING:
    from quorum.messages import Entries

__all__ = ["Registry", "Touched"]


@define
class Touched:
    """What changed since the last `Registry.drain`, each with the index of its last change."""

    services: dict[str, int] = Factory(dict)
    """Names of services of which an instance came, changed or went."""
    nodes: dict[str, int] = Factory(dict)
    keys: dict[str, int] = Factory(dict)
    everything: bool = False
    """A snapshot was restored: wake all waiters."""


class Registry:
    """All that the catalog knows, as a deterministic function of the log."""

    # A `quorum.machine.StateMachine`:
    def apply(self, entries: Entries) -> Sequence[Applied]: ...
    def snapshot(self) -> bytes: ...
    def restore(self, snapshot: bytes) -> None: ...
    # Wake-ups:
    def drain(self) -> Touched: ...

    # Reads, all synchronous; what they return is immutable:
    applied: int  # index of the last entry applied

    def lookup(self, name: str, *, healthy: bool = True, tag: str | None = None) -> View: ...
    def services(self) -> dict[str, tuple[str, ...]]: ...  # name -> sorted tags
    def services_index(self) -> int: ...
    def node(self, name: str) -> NodeView | None: ...
    def nodes(self) -> tuple[NodeView, ...]: ...
    def nodes_index(self) -> int: ...
    def get(self, key: str) -> KeyValue | None: ...
    def key_index(self, key: str) -> int: ...
    def keys(self, prefix: str = "") -> tuple[str, ...]: ...
    def items(self, prefix: str = "") -> tuple[KeyValue, ...]: ...
    def prefix_index(self, prefix: str = "") -> int: ...
    # Subscriptions:
    def changes(self, name: str, after: int) -> tuple[Change, ...] | None: ...
    def update(self, name: str, after: int) -> Update: ...  # Delta, or View where history ends

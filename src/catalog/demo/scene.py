"""What is known at a moment of the demo, and the summary that is left of it at the end."""

from __future__ import annotations

from typing import Any

import trio
from attrs import asdict, define, field

from catalog.demo.load import Ledger

__all__ = ["PHASES", "ConsumerReport", "Moment", "Scene", "ServerState", "Summary"]

PHASES = (
    "start the cluster",
    "start the services",
    "load",
    "kill the leader",
    "kill a provider",
    "kill a node",
    "restart the old leader",
    "check everything",
)


@define
class ServerState:
    """A server agent as it last described itself."""

    name: str
    address: str
    role: str = "starting"
    """leader, follower, candidate; or starting, killed."""
    term: int = 0
    commit: int = 0
    applied: int = 0


@define
class ConsumerReport:
    """What the consumer last said of itself."""

    providers: tuple[str, ...] = ()
    calls: int = 0
    wrong: int = 0
    errors: dict[str, int] = field(factory=dict)
    age: float = 0.0
    connected: bool = False
    rate: float = 0.0
    """Calls per second, between the last two reports."""


@define
class Moment:
    """Something that happened."""

    at: float
    """Seconds since the demo began."""
    text: str
    kind: str = "info"
    """info, kill, good, bad."""


@define
class Summary:
    """The object that `catalog demo --json` prints; durations in seconds, None: never came."""

    ok: bool = False
    servers: int = 0
    leader_before: str | None = None
    leader_after: str | None = None
    failover_s: float | None = None
    """From the kill of the leader to the first acknowledgement of a write begun after it."""
    acknowledged_writes: int = 0
    lost_writes: int | None = None
    """Acknowledged, and not to be read at the end; None: it did not come to the check."""
    provider_removed_s: float | None = None
    """From the kill of a provider until it had left the consumer's list."""
    node_removed_s: float | None = None
    """From the kill of the client agent and all beside it until its services had left the list."""
    catch_up_s: float | None = None
    """From the start of the old leader until it had applied what was committed by then."""
    consumer_calls: int = 0
    consumer_errors: int = 0
    seconds: float = 0.0
    failed: list[str] = field(factory=list)
    """The checks that failed, as sentences."""

    def plain(self) -> dict[str, Any]:
        """Return the summary as JSON's types, durations to the millisecond."""
        return {
            key: round(value, 3) if isinstance(value, float) else value
            for key, value in asdict(self).items()
        }


@define
class Scene:
    """Everything a display may show; the story changes it, a display only reads."""

    began: float = field(factory=trio.current_time)
    phase: int = 0
    """Index into `PHASES`."""
    servers: dict[str, ServerState] = field(factory=dict)
    consumer: ConsumerReport = field(factory=ConsumerReport)
    ledger: Ledger = field(factory=Ledger)
    timeline: list[Moment] = field(factory=list)
    summary: Summary = field(factory=Summary)

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return trio.current_time() - self.began

    def tell(self, text: str, kind: str = "info") -> None:
        """Add to the timeline."""
        self.timeline.append(Moment(self.elapsed, text, kind))

    def fail(self, sentence: str) -> None:
        """Note that something went wrong: the verdict will not be "ok"."""
        self.summary.failed.append(sentence)
        self.tell(sentence, "bad")

    def check(self, passed: object, failure: str) -> None:
        """Note the failure unless the check passed."""
        if not passed:
            self.fail(failure)

"""One follower in the leader's eyes: nextIndex and matchIndex of Figure 2, and how to send to it.

    PROBE      we do not know where its log agrees with ours: one message at a time
    REPLICATE  we do: send ahead without waiting (pipelining), up to a window
    SNAPSHOT   it needs entries that we no longer have: wait until the snapshot arrived

Invariant: `match < next`. `match` never falls, whatever order replies come in.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

from attrs import define, field

from quorum.messages import Index


class Mode(Enum):
    """How the leader sends to a follower; see the module's text."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@define
class Progress:
    """What the leader knows of one peer."""

    next: Index
    """The next entry to send (nextIndex)."""
    since: int
    """The leader's round when this peer was added: replies to earlier rounds are of a former life
    of the peer, and count for nothing."""
    contact: float
    """When it last answered, in seconds."""
    match: Index = 0
    """The highest entry known to be durable there (matchIndex)."""
    mode: Mode = Mode.PROBE
    acked: int = 0
    """The newest round it has answered."""
    told: int = 0
    """The newest round in which anything was sent to it."""
    commit: Index = 0
    """The commit index it was last told."""
    paused: bool = False
    """PROBE: a message is on its way; the next one waits for the answer or the heartbeat."""
    inflight: deque[tuple[Index, int]] = field(factory=deque)
    """REPLICATE: the last index of each message that is not answered yet, and its bytes."""
    inflight_bytes: int = 0
    goal: Index = 0
    """A joining learner: where our log ended when its round of catching up began; 0: not begun."""
    goal_set: float = 0.0
    """When that was."""
    caught_up: bool = False
    """A joining learner: its last round took less than an election timeout."""
    version: int = 0
    """The highest version of commands that its machine understands; 0: it has not said so yet."""
    snapshot: Index = 0
    """SNAPSHOT: the index of the snapshot on its way."""

    def ready(self, inflight_max: int, inflight_bytes_max: int) -> bool:
        """Whether entries may be sent now."""
        match self.mode:
            case Mode.REPLICATE:
                return (
                    len(self.inflight) < inflight_max and self.inflight_bytes < inflight_bytes_max
                )
            case Mode.PROBE:
                return not self.paused
            case Mode.SNAPSHOT:
                return False

    def sent(self, last: Index, size: int) -> None:
        """Entries up to `last` have left, `size` bytes of them."""
        if self.mode is Mode.REPLICATE:
            self.next = last + 1
            self.inflight.append((last, size))
            self.inflight_bytes += size
        else:
            self.paused = True

    def matched(self, match: Index) -> bool:
        """The peer has everything up to `match`, durably; say whether that is news."""
        news = match > self.match
        if news:
            self.match = match
            self.next = max(self.next, match + 1)
        while self.inflight and self.inflight[0][0] <= match:
            self.inflight_bytes -= self.inflight.popleft()[1]
        if self.mode is Mode.PROBE and match + 1 >= self.next:
            self.mode = Mode.REPLICATE
        elif self.mode is Mode.SNAPSHOT and match >= self.snapshot:
            # "The snapshot arrived" may get lost; the answer itself is proof enough.
            self.probe(match + 1)
            self.mode = Mode.REPLICATE
        return news

    def probe(self, next: Index) -> None:
        """Find out step by step where the logs agree, from `next` on."""
        self.mode = Mode.PROBE
        self.next = max(next, self.match + 1)
        self.paused = False
        self._forget_inflight()

    def await_snapshot(self, index: Index) -> None:
        """A snapshot up to `index` is on its way."""
        self.mode = Mode.SNAPSHOT
        self.snapshot = index
        self._forget_inflight()

    def _forget_inflight(self) -> None:
        self.inflight.clear()
        self.inflight_bytes = 0

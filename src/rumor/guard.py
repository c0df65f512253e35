"""The guard: bytes leave sealed, and enter only if a member sealed them, for us, and only once.

Whoever holds a key of the cluster is trusted; nobody else is heard. What is not authentic is
dropped before a single byte of it is interpreted. A datagram on the wire::

    02 nonce(12) AES-GCM[ run(8) proof(8) counter(8) kind(1) body ] tag(16)

Keys alone do not stop a stranger from recording packets and sending them again. Clocks could, if
all clocks agreed; we do without. Each process draws a random *run* when it starts. A datagram names
the run that sent it, and as a *proof* that it is no recording the run that is to read it:

- the proof is our run, and the counter is new for that sender: accept;
- it is our run, but the counter was seen or lies more than :data:`WINDOW` behind: a replay, refuse;
- it is another or none, for the sender does not know us yet, or knew us before we were restarted:
  do not believe it, and answer with a *challenge* that tells our run and repeats the counter.

A challenge is a datagram like any other, with the sender's run as its proof, so it cannot be forged
or played again either. Whoever is challenged sends the datagram that it was about once more, now
with the proof. So the first word between two processes takes two round trips, all others none; a
restarted process is heard after those two, as soon as it speaks.

What this promises: a recorded datagram is accepted at most once, only by the process that it was
sent to, never after that process was restarted, and so never at all if it had arrived; whatever
the sender did meanwhile. Strangers can still delay, drop and overtake datagrams, as any network
does, up to the window.

A stream is sealed in the same way with a challenge of its own, see :mod:`rumor.trio.streams`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, frozen

from rumor.errors import NotAuthentic, Replayed
from rumor.keyring import NONCE_BYTES, TAG_BYTES, Keyring
from rumor.messages import Address

VERSION: Final = 2
"""The first byte of a sealed datagram; that of a plain one is another."""

RUN_BYTES: Final = 8
COUNTER_BYTES: Final = 8
NOBODY: Final = bytes(RUN_BYTES)
"""The proof of a sender that does not know its reader yet."""

DATA: Final = b"\0"
CHALLENGE: Final = b"\1"

HEAD_BYTES: Final = 2 * RUN_BYTES + COUNTER_BYTES + 1
OVERHEAD_BYTES: Final = 1 + NONCE_BYTES + HEAD_BYTES + TAG_BYTES
"""What the guard adds to a datagram."""

FRAME_OVERHEAD_BYTES: Final = NONCE_BYTES + TAG_BYTES
"""What the guard adds to a frame on a stream."""

WINDOW: Final = 1_024
"""A datagram overtaken by this many later ones of its sender is refused."""

RUNS_MAX: Final = 65_536
"""Processes remembered; beyond it we begin a new run ourselves, and are introduced to all anew."""

SENT_MAX: Final = 512
"""The latest datagrams, kept in case that they are challenged."""


@frozen
class Opened:
    """What came of a packet: `data` to read, or a packet to send `to` somebody, or neither."""

    data: bytes | None = None
    packet: bytes = b""
    to: Address | None = None


@define
class Window:
    """The counters of one sender that were seen: the highest, and as bits those just below."""

    top: int = -1
    seen: int = 0

    def accept(self, counter: int) -> bool:
        """Note a counter; false if it was noted before, or is too old to know."""
        if counter > self.top:
            shift = min(counter - self.top, WINDOW)
            self.seen = (self.seen << shift | 1) & ((1 << WINDOW) - 1)
            self.top = counter
            return True
        behind = self.top - counter
        if behind >= WINDOW or self.seen >> behind & 1:
            return False
        self.seen |= 1 << behind
        return True


class Guard:
    """Seals and opens the bytes of one agent.

    `nonce` gives 12 bytes that it never gave before: random ones, or in tests seeded ones.
    """

    def __init__(self, keyring: Keyring, cluster: str, *, nonce: Callable[[], bytes]) -> None:
        self._keyring = keyring
        self._cluster = cluster.encode()
        self._nonce = nonce
        self._run = nonce()[:RUN_BYTES]
        self._counter = 0
        self._runs: dict[Address, bytes] = {}  # who reads at an address, as far as we know
        self._windows: dict[bytes, Window] = {}  # by the run that sends
        self._sent: dict[int, tuple[Address, bytes]] = {}  # by counter, the latest last

    # --- datagrams ---

    def seal(self, data: bytes, to: Address) -> bytes:
        """Seal a datagram, and keep it for a while in case its reader does not know us."""
        packet = self._pack(self._runs.get(to, NOBODY), DATA, data)
        self._sent[self._counter] = to, data
        if len(self._sent) > SENT_MAX:
            del self._sent[next(iter(self._sent))]
        return packet

    def open(self, packet: bytes, source: Address) -> Opened:
        """Open a datagram.

        Raises :class:`~rumor.errors.NotAuthentic` if no key of ours fits, and its child
        :class:`~rumor.errors.Replayed` if it is a recording.
        """
        if not packet or packet[0] != VERSION:
            raise NotAuthentic("not sealed")
        nonce, sealed = packet[1 : 1 + NONCE_BYTES], packet[1 + NONCE_BYTES :]
        plain = self._keyring.decrypt(nonce, sealed, self._label(b"datagram"))
        if len(plain) < HEAD_BYTES:
            raise NotAuthentic("sealed, but not a datagram")
        run, proof = plain[:RUN_BYTES], plain[RUN_BYTES : 2 * RUN_BYTES]
        counter = plain[2 * RUN_BYTES : HEAD_BYTES - 1]
        kind, body = plain[HEAD_BYTES - 1 : HEAD_BYTES], plain[HEAD_BYTES:]
        if proof == self._run and run not in self._windows and len(self._windows) >= RUNS_MAX:
            self._begin_new_run()
        if proof != self._run:
            if kind != DATA:
                raise Replayed("a challenge to another process")
            return Opened(None, self._pack(run, CHALLENGE, counter), source)
        self._note(run, int.from_bytes(counter, "big"))
        if kind == DATA:
            self._introduce(source, run)
            return Opened(body)
        return self._answer_challenge(run, body)

    def _answer_challenge(self, run: bytes, counter: bytes) -> Opened:
        """Send what was challenged once more, to where it went before: with the proof."""
        to, data = self._sent.pop(int.from_bytes(counter, "big"), (None, b""))
        if to is None:
            return Opened()
        self._introduce(to, run)
        return Opened(None, self.seal(data, to), to)

    def _introduce(self, address: Address, run: bytes) -> None:
        if self._runs.get(address) != run:
            self._runs.pop(address, None)
            self._runs[address] = run
            if len(self._runs) > RUNS_MAX:
                del self._runs[next(iter(self._runs))]

    def _begin_new_run(self) -> None:
        """Forget all senders.

        To forget one of them would let its recordings in. A new run of our own keeps out all that
        was ever recorded; everybody is challenged once.
        """
        self._windows.clear()
        self._run = self._nonce()[:RUN_BYTES]

    def _note(self, run: bytes, counter: int) -> None:
        """Take each counter of a sender once."""
        window = self._windows.get(run)
        if window is None:
            window = self._windows[run] = Window()
        if not window.accept(counter):
            raise Replayed(f"datagram {counter} came before, or {WINDOW} others overtook it")

    def _pack(self, proof: bytes, kind: bytes, body: bytes) -> bytes:
        self._counter += 1
        counter = self._counter.to_bytes(COUNTER_BYTES, "big")
        plain = b"".join((self._run, proof, counter, kind, body))
        nonce = self._nonce()
        sealed = self._keyring.encrypt(nonce, plain, self._label(b"datagram"))
        return b"".join((bytes((VERSION,)), nonce, sealed))

    # --- frames on streams ---

    def new_challenge(self) -> bytes:
        """Make 12 bytes that whoever opened a stream to us must bind into its request."""
        return self._nonce()

    def seal_frame(self, body: bytes, *, purpose: bytes, bound: bytes) -> bytes:
        """Seal a frame; `bound` is what came before it on this stream."""
        nonce = self._nonce()
        return nonce + self._keyring.encrypt(nonce, body, self._label(purpose, bound))

    def open_frame(self, sealed: bytes, *, purpose: bytes, bound: bytes) -> bytes:
        """Open a frame, or raise :class:`~rumor.errors.NotAuthentic`."""
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        return self._keyring.decrypt(nonce, rest, self._label(purpose, bound))

    def _label(self, purpose: bytes, bound: bytes = b"") -> bytes:
        """What the key is used for, in one cluster; no two of them read the same."""
        return b"\0".join((b"rumor 2", purpose, self._cluster, bound))

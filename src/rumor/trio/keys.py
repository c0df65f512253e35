"""The keys of the whole cluster, changed by one call while everybody goes on talking.

Each order is a query (:mod:`rumor.core.queries`), so it travels sealed with the key that is in use,
and everybody answers what became of it. A key is changed in three orders, each finished everywhere
before the next begins: *install* the new one, so that all can read it; *use* it; *remove* the old.
Before `use` and `remove` all members are asked what they hold: an order that would cut somebody
off is not given.

An answer is the members' keys by their fingerprints, the primary one first, and an error if there
was one::

    count(1) fingerprint(8) … text
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import MappingProxyType
from typing import Final

from attrs import define, field, frozen

from rumor.errors import ConfigError, KeysIncomplete, ProtocolError
from rumor.keyring import FINGERPRINT_BYTES, Keyring
from rumor.messages import EventKey, Name, Query
from rumor.trio.polls import Poll, Response

RESERVED: Final = "_rumor."
"""What the names of queries begin with that agents ask each other; users see none of them."""

KEYS_QUERY: Final = "_rumor.keys"
"""The name of the queries that carry orders."""

KEYS_RELAYS: Final = 2
"""By how many others each answer is passed on, too."""

ATTEMPTS: Final = 3
"""How often an order is given to those who do not answer."""

NAMES_BYTES_MAX: Final = 400
"""If the names of the silent take no more than this, only they are asked again."""

ERROR_BYTES_MAX: Final = 200

LIST, INSTALL, USE, REMOVE = b"l", b"i", b"u", b"r"


@frozen
class Held:
    """What one member holds: fingerprints of keys, the primary one first."""

    fingerprints: tuple[str, ...]
    error: str = ""


@frozen
class KeyReport:
    """What became of one order."""

    held: Mapping[Name, Held]
    """The answers by member: what it holds now."""
    silent: tuple[Name, ...]
    """Living members that did not answer; nobody knows what they hold."""

    @property
    def failed(self) -> Mapping[Name, str]:
        """Members that could not obey, and why."""
        return {name: held.error for name, held in self.held.items() if held.error}

    @property
    def is_complete(self) -> bool:
        """Whether every living member has obeyed."""
        return not self.silent and not self.failed

    @property
    def keys(self) -> Mapping[str, int]:
        """How many members hold each key, by its fingerprint."""
        return Counter(each for held in self.held.values() for each in held.fingerprints)

    @property
    def primary(self) -> Mapping[str, int]:
        """How many members encrypt with each key, by its fingerprint."""
        return Counter(held.fingerprints[0] for held in self.held.values())

    def __str__(self) -> str:
        total = len(self.held) + len(self.silent)
        parts = [f"{len(self.held) - len(self.failed)} of {total} members obeyed"]
        parts += [f"{name} could not: {error}" for name, error in sorted(self.failed.items())]
        if self.silent:
            parts.append(f"no answer from {', '.join(self.silent)}")
        return "; ".join(parts)


@define
class ClusterKeys:
    """Orders to the keyrings of all members; see :attr:`rumor.Agent.keys`."""

    _keyring: Keyring
    _ask: Callable[[bytes, Sequence[Name]], AbstractAsyncContextManager[Poll]]
    """Give an order to these members, or with no names to all."""
    _living: Callable[[], list[Name]]
    _last: EventKey | None = field(default=None, init=False)
    """The latest order that was obeyed: an older one that comes late is not."""

    async def list(self) -> KeyReport:
        """Ask all members what they hold."""
        return await self._order(LIST)

    async def install(self, key: bytes) -> KeyReport:
        """Let all members decrypt with this key, too.

        Raises :class:`~rumor.errors.KeysIncomplete` if not all living members did; call it again.
        """
        return _checked("install", await self._order(INSTALL, _sound(key)), "nobody uses it yet")

    async def use(self, key: bytes) -> KeyReport:
        """Let all members encrypt with this key, if all hold it.

        Raises :class:`~rumor.errors.KeysIncomplete` if they do not, or if some did not obey.
        """
        wanted = Keyring.fingerprint(_sound(key))
        held = _checked("use", await self.list(), "nothing was changed")
        lacking = [name for name, each in held.held.items() if wanted not in each.fingerprints]
        if lacking:
            raise KeysIncomplete(
                f"use: {', '.join(lacking)} would be cut off, for lack of the key {wanted}; "
                "nothing was changed, install it first",
                held,
            )
        return _checked("use", await self._order(USE, key), "all of them read both keys")

    async def remove(self, key: bytes) -> KeyReport:
        """Let all members refuse what this key sealed, if nobody uses it any more.

        Raises :class:`~rumor.errors.KeysIncomplete` if somebody does, or if some did not obey.
        """
        wanted = Keyring.fingerprint(_sound(key))
        held = _checked("remove", await self.list(), "nothing was changed")
        using = [name for name, each in held.held.items() if each.fingerprints[0] == wanted]
        if using:
            raise KeysIncomplete(
                f"remove: {', '.join(using)} would be cut off, for they use the key {wanted}; "
                "nothing was changed, let them use another one first",
                held,
            )
        return _checked("remove", await self._order(REMOVE, key), "nobody uses it any more")

    async def rotate(self, key: bytes) -> KeyReport:
        """Install a new key everywhere, use it everywhere, remove all others everywhere.

        Raises :class:`~rumor.errors.KeysIncomplete` as soon as a step is not finished everywhere;
        the cluster goes on talking, and the call may be repeated.
        """
        old = [each for each in self._keyring.keys if each != key]
        await self.install(key)
        report = await self.use(key)
        for each in old:
            report = await self.remove(each)
        return report

    def obey(self, query: Query) -> bytes:
        """Carry out an order that came by a query, and answer it."""
        error = ""
        try:
            self._obey(query)
        except ConfigError as refused:
            error = str(refused)
        ring = self._keyring
        keys = (ring.primary, *(key for key in ring.keys if key != ring.primary))
        prints = b"".join(bytes.fromhex(ring.fingerprint(key)) for key in keys)
        return bytes((len(keys),)) + prints + error.encode()[:ERROR_BYTES_MAX]

    def _obey(self, query: Query) -> None:
        order, key = query.payload[:1], query.payload[1:]
        if order == LIST:
            return
        if self._last is not None and query.key < self._last:
            raise ConfigError("a later order came first; nothing was changed")
        self._last = query.key
        match order:
            case b"i":
                self._keyring.install(key)
            case b"u":
                self._keyring.use(key)
            case b"r":
                self._keyring.remove(key)
            case _:
                raise ConfigError(f"unknown order {order!r}; nothing was changed")

    async def _order(self, order: bytes, key: bytes = b"") -> KeyReport:
        """Give an order to everybody, and again to those who do not answer."""
        held: dict[Name, Held] = {}
        for attempt in range(ATTEMPTS):
            silent = [name for name in self._living() if name not in held]
            if not silent:
                break
            few = attempt > 0 and sum(map(len, silent)) + 6 * len(silent) <= NAMES_BYTES_MAX
            async with self._ask(order + key, silent if few else ()) as poll:
                async for response in poll:
                    held[response.source] = _read(response)
                    if all(name in held for name in self._living()):
                        break
        silent = [name for name in self._living() if name not in held]
        return KeyReport(MappingProxyType(held), tuple(silent))


def _read(response: Response) -> Held:
    """Read an answer; one that cannot be read is a failure like any other."""
    try:
        return parse_answer(response.payload)
    except ProtocolError as error:
        return Held(("?",), str(error))


def parse_answer(payload: bytes) -> Held:
    """Read an answer, or raise :class:`~rumor.errors.ProtocolError`."""
    count = payload[0] if payload else 0
    end = 1 + count * FINGERPRINT_BYTES
    if count == 0 or len(payload) < end:
        raise ProtocolError("expected the fingerprints of one key at least")
    prints = [payload[at : at + FINGERPRINT_BYTES].hex() for at in range(1, end, FINGERPRINT_BYTES)]
    return Held(tuple(prints), payload[end:].decode(errors="replace"))


def _checked(step: str, report: KeyReport, state: str) -> KeyReport:
    if not report.is_complete:
        raise KeysIncomplete(
            f"{step}: {report}; {state}. Repeat the call when all are well", report
        )
    return report


def _sound(key: bytes) -> bytes:
    Keyring.check(key)
    return key

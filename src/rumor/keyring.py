"""Keys: what the members of a cluster share, and others have not.

A keyring holds one *primary* key, which encrypts, and any number of others, which only decrypt.
So the key of a running cluster is changed in three rounds, each finished everywhere before the
next begins, and no packet is lost on the way::

    ring.install(new)       # everywhere: whoever uses it will be understood
    ring.use(new)           # everywhere: encrypt with it
    ring.remove(old)        # everywhere: what the old key sealed is refused from now on

The cipher is AES in Galois/Counter mode (NIST SP 800-38D) by the ``cryptography`` package, which is
imported when the first keyring is made: ``pip install quorumkit[encryption]``.

Nonces are random and of 96 bits, so one key should seal no more than 2**32 packets: a cluster of
1,000 members at rest takes weeks for that. Change the key now and then.
"""

from __future__ import annotations

import secrets
from hashlib import sha256
from typing import Any, Final

from rumor.errors import ConfigError, NotAuthentic

KEYS_MAX: Final = 8
"""Keys in one ring; each of them is tried on a packet that none of them fits."""

KEY_BYTES: Final = (16, 24, 32)
"""AES-128, AES-192, AES-256."""

FINGERPRINT_BYTES: Final = 8

NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16


class Keyring:
    """The keys of one agent; it may be changed at any time, and holds for the next packet.

    Keys are 16, 24 or 32 random bytes: see :meth:`new_key`. Raises
    :class:`~rumor.errors.ConfigError` for anything else, and if ``cryptography`` is missing.
    """

    def __init__(self, primary: bytes, *others: bytes) -> None:
        self._ciphers: dict[bytes, Any] = {}
        for key in (primary, *others):
            self.install(key)
        self._primary = primary

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._ciphers)} keys>"  # never the keys: this ends up in logs

    @staticmethod
    def new_key() -> bytes:
        """Make a key of 32 bytes; give the same one to all members."""
        return secrets.token_bytes(32)

    @staticmethod
    def check(key: bytes) -> None:
        """Raise :class:`~rumor.errors.ConfigError` unless this may be a key."""
        if not isinstance(key, bytes) or len(key) not in KEY_BYTES:
            raise ConfigError("a key is 16, 24 or 32 bytes; the keyring was not changed")

    @staticmethod
    def fingerprint(key: bytes) -> str:
        """Name a key without telling it: the first bytes of its SHA-256, as hexadecimal digits."""
        return sha256(key).digest()[:FINGERPRINT_BYTES].hex()

    @property
    def primary(self) -> bytes:
        """The key that encrypts."""
        return self._primary

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All keys that decrypt, in the order of their installation."""
        return tuple(self._ciphers)

    def install(self, key: bytes) -> None:
        """Decrypt with this key too; nothing happens if it is there already."""
        self.check(key)
        if len(self._ciphers) >= KEYS_MAX and key not in self._ciphers:
            raise ConfigError(f"there are {KEYS_MAX} keys already; nothing changed, remove one")
        self._ciphers.setdefault(key, _cipher(key))

    def use(self, key: bytes) -> None:
        """Encrypt with this key from now on; it must have been installed."""
        if key not in self._ciphers:
            raise ConfigError("this key is not installed; the primary key is the same as before")
        self._primary = key

    def remove(self, key: bytes) -> None:
        """Refuse what this key sealed; it must not be the primary key."""
        if key == self._primary:
            raise ConfigError("the primary key cannot be removed; use another one first")
        self._ciphers.pop(key, None)

    def encrypt(self, nonce: bytes, data: bytes, label: bytes) -> bytes:
        """Encrypt `data` and bind `label` to it; 16 bytes longer."""
        sealed: bytes = self._ciphers[self._primary].encrypt(nonce, data, label)
        return sealed

    def decrypt(self, nonce: bytes, sealed: bytes, label: bytes) -> bytes:
        """Give the data back if one of the keys sealed it under this label.

        Raises :class:`~rumor.errors.NotAuthentic` otherwise; the cipher says no more than that.
        """
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # an optional dependency

        if len(nonce) != NONCE_BYTES or len(sealed) < TAG_BYTES:
            raise NotAuthentic("too short to be sealed")
        first = self._ciphers[self._primary]
        for cipher in (first, *(c for c in self._ciphers.values() if c is not first)):
            try:
                data: bytes = cipher.decrypt(nonce, sealed, label)
            except InvalidTag:
                continue
            return data
        raise NotAuthentic("none of our keys sealed this for this cluster and purpose")


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415  # as above
            AESGCM,
        )
    except ImportError as error:
        raise ConfigError(
            "encryption needs the package `cryptography`: pip install quorumkit[encryption]"
        ) from error
    return AESGCM(key)

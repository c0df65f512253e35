"""Keys."""

from __future__ import annotations

import sys

import pytest

from rumor import ConfigError, Keyring, NotAuthentic
from rumor.keyring import KEYS_MAX, TAG_BYTES

OLD, NEW = b"o" * 32, b"n" * 16
NONCE = bytes(12)


@pytest.mark.parametrize("size", [16, 24, 32])
def test_keys_of_three_sizes_seal(size: int) -> None:
    """And what is sealed is longer by the tag."""
    ring = Keyring(b"k" * size)
    sealed = ring.encrypt(NONCE, b"data", b"label")

    assert len(sealed) == 4 + TAG_BYTES
    assert ring.decrypt(NONCE, sealed, b"label") == b"data"


def test_every_key_decrypts_and_the_primary_one_encrypts() -> None:
    """So that two rings in the middle of a change of keys understand each other."""
    behind, ahead = Keyring(OLD, NEW), Keyring(NEW, OLD)

    assert behind.decrypt(NONCE, ahead.encrypt(NONCE, b"x", b""), b"") == b"x"
    assert Keyring(OLD).decrypt(NONCE, behind.encrypt(NONCE, b"x", b""), b"") == b"x"
    with pytest.raises(NotAuthentic):
        Keyring(OLD).decrypt(NONCE, ahead.encrypt(NONCE, b"x", b""), b"")


def test_a_key_that_was_removed_decrypts_nothing() -> None:
    """The last step of a change of keys."""
    ring = Keyring(OLD)
    sealed = ring.encrypt(NONCE, b"x", b"")
    ring.install(NEW)
    ring.use(NEW)
    ring.remove(OLD)

    assert (ring.primary, ring.keys) == (NEW, (NEW,))
    with pytest.raises(NotAuthentic):
        ring.decrypt(NONCE, sealed, b"")


def test_what_makes_no_sense_changes_nothing() -> None:
    """Wrong sizes, unknown keys, the primary key removed, too many keys."""
    ring = Keyring(OLD)
    for wrong in (b"", b"short", b"x" * 33):
        with pytest.raises(ConfigError, match="16, 24 or 32"):
            ring.install(wrong)
    with pytest.raises(ConfigError, match="not installed"):
        ring.use(NEW)
    with pytest.raises(ConfigError, match="use another one first"):
        ring.remove(OLD)
    for number in range(KEYS_MAX - 1):
        ring.install(bytes([number]) * 16)
    with pytest.raises(ConfigError, match=f"{KEYS_MAX} keys"):
        ring.install(b"x" * 16)
    ring.install(OLD)

    assert (ring.primary, len(ring.keys)) == (OLD, KEYS_MAX)


def test_another_label_and_too_few_bytes_are_not_authentic() -> None:
    """What was sealed for one purpose does not pass for another."""
    ring = Keyring(OLD)
    sealed = ring.encrypt(NONCE, b"x", b"one")
    for nonce, data, label in [
        (NONCE, sealed, b"two"),
        (NONCE, sealed[:-1], b"one"),
        (NONCE, b"", b"one"),
        (b"", sealed, b"one"),
    ]:
        with pytest.raises(NotAuthentic):
            ring.decrypt(nonce, data, label)


def test_keys_are_not_shown() -> None:
    """A ring may end up in a log."""
    assert repr(Keyring(b"secret" * 4)) == "<Keyring of 1 keys>"


def test_new_keys_differ() -> None:
    """They are random, and long enough for AES-256."""
    one, two = Keyring.new_key(), Keyring.new_key()

    assert len(one) == len(two) == 32
    assert one != two


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Encryption is an extra."""
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.ciphers.aead", None)
    with pytest.raises(ConfigError, match=r"pip install quorumkit\[encryption\]"):
        Keyring(OLD)

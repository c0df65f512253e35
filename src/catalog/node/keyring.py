"""Gossip's keys on disk: what is changed while the agent runs holds after a restart.

    data_dir/keyring.json   ["base64 of the primary key", "another that still decrypts", ...]

The setting `encrypt` is the first key of a new agent. Once the file is there it counts, and
`encrypt` does not: else an agent would return with a key that the cluster has long given up.
A change is on the disk before it is obeyed, and so before anybody is told that it was.
"""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import rumor
from catalog.config import AgentConfig
from catalog.durably import write_durably
from catalog.errors import StartError

__all__ = ["KeptKeyring", "load_keyring"]

FILE = "keyring.json"


class KeptKeyring(rumor.Keyring):
    """A keyring that is written down."""

    def __init__(self, path: Path, primary: bytes, *others: bytes) -> None:
        self._path: Path | None = None  # until it is complete
        super().__init__(primary, *others)
        self._path = path
        self._write(self.primary, self.keys)

    def install(self, key: bytes) -> None:
        """See `rumor.Keyring.install`."""
        if self._path is not None and key not in self.keys:
            rumor.Keyring(self.primary, *self.keys).install(key)  # refuses what makes no sense
            self._write(self.primary, (*self.keys, key))
        super().install(key)

    def use(self, key: bytes) -> None:
        """See `rumor.Keyring.use`."""
        if key in self.keys:
            self._write(key, self.keys)
        super().use(key)

    def remove(self, key: bytes) -> None:
        """See `rumor.Keyring.remove`."""
        if key != self.primary:
            self._write(self.primary, tuple(one for one in self.keys if one != key))
        super().remove(key)

    def _write(self, primary: bytes, keys: tuple[bytes, ...]) -> None:
        assert self._path is not None
        others = [one for one in keys if one != primary]
        texts = [base64.b64encode(one).decode() for one in (primary, *others)]
        try:
            write_durably(self._path, json.dumps(texts, indent=2).encode() + b"\n", mode=0o600)
        except OSError as error:
            raise rumor.ConfigError(
                f"{self._path} cannot be written ({os.strerror(error.errno or 0)}): the keys are "
                f"the same as before"
            ) from error


def load_keyring(config: AgentConfig) -> rumor.Keyring | None:
    """Return an agent's keys; `None`: gossip goes in clear.

    Raises:
        StartError: the file is damaged, or cannot be written.

    """
    encrypt = None if config.encrypt is None else base64.b64decode(config.encrypt)
    if config.data_dir is None:
        return None if encrypt is None else rumor.Keyring(encrypt)
    path = config.data_dir / FILE
    try:
        keys = _read(path)
        if keys is None and encrypt is None:
            return None
        config.data_dir.mkdir(parents=True, exist_ok=True)
        return KeptKeyring(path, *(keys or (encrypt or b"",)))
    except (OSError, rumor.ConfigError) as error:
        raise StartError(f"gossip has no keys: {error}") from error


def _read(path: Path) -> tuple[bytes, ...] | None:
    try:
        texts = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StartError(f"{path} is damaged ({error}); restore it, or delete it") from error
    try:
        keys = tuple(base64.b64decode(text, validate=True) for text in texts)
    except (TypeError, ValueError) as error:
        raise StartError(f"{path} is damaged ({error}); restore it, or delete it") from error
    if not keys:
        raise StartError(f"{path} is damaged: it holds no key; restore it, or delete it")
    return keys

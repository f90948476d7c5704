"""Seals the secrets that the database keeps: AES-256-GCM, with keys that are kept apart from it.

Keys are 32 random bytes in base64, one a line, in a file that only its owner may read. The first one seals, all of them
open; a key is named by the first characters of its hash, which a sealed value carries. So a key is replaced by writing
a new one before it, sealing everything anew (:mod:`.sealing`), and then taking the old one away. A file that has
changed is read again, by every process that uses it.

A sealed value is bound to the column that it was made for: moved to another one, it does not open.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from cluster.errors import InstallationError
from cluster.private_files import write_private
from whisperer.errors import InvariantError

KEY_BYTES = 32
MAX_KEYS = 10
_NONCE_BYTES = 12
_ID_CHARS = 8
_PREFIX = "sealed:1:"

_log = logging.getLogger(__name__)


class UnreadableSecretError(InstallationError):
    """A secret was sealed with a key that is not here, or was changed."""


class Keyring:
    """The keys of one installation. ``keys``: the first one seals; ``path``: the file to read them from again."""

    def __init__(self, keys: Iterable[bytes], path: Path | None = None) -> None:
        self._path = path
        self._keys: dict[str, bytes] = {}
        self._read_at: tuple[int, int, int] | None = None
        self._set(keys)

    def __repr__(self) -> str:
        return f"Keyring({', '.join(self._keys)})"

    @classmethod
    def of_file(cls, path: Path) -> Keyring:
        """Return the keys of a file. Raises InstallationError where there is none, or it cannot be used."""
        found = cls((), path)
        found._read()
        return found

    @property
    def ids(self) -> list[str]:
        """The keys' names, the one that seals first."""
        self._refresh()
        return list(self._keys)

    def seal(self, text: str, column: str) -> str:
        """Return a text sealed for a column. Raises InvariantError if there is no key."""
        self._refresh()
        if not self._keys:
            raise InvariantError("the control plane was opened without keys, and is asked to keep a secret")
        id, key = next(iter(self._keys.items()))
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + AESGCM(key).encrypt(nonce, text.encode("utf-8", "surrogatepass"), _bound(column))
        return f"{_PREFIX}{id}:{base64.b64encode(sealed).decode()}"

    def open(self, stored: str, column: str) -> str:
        """Return what was sealed; a text of before there were keys, as it is. Raises UnreadableSecretError."""
        if not stored.startswith(_PREFIX):
            return stored
        id, _, encoded = stored[len(_PREFIX) :].partition(":")
        if id not in self._keys:
            self._refresh()
        key = self._keys.get(id)
        if key is None:
            raise UnreadableSecretError(
                f"a secret in {column} was sealed with the key {id[:_ID_CHARS]!r}, which is not in "
                f"{self._path or 'use'}: put that key back; if it is lost, "
                "`whisperer secrets forget` removes what it sealed"
            )
        try:
            sealed = base64.b64decode(encoded, validate=True)
            if base64.b64encode(sealed).decode() != encoded:  # its last character has several spellings
                raise ValueError("not as it was written")
            opened = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], _bound(column))
        except (InvalidTag, binascii.Error, ValueError):
            raise UnreadableSecretError(f"a secret in {column} was changed since it was sealed: set it anew") from None
        return opened.decode("utf-8", "surrogatepass")

    def is_current(self, stored: str) -> bool:
        """Return whether a stored text is sealed with the key that seals now."""
        return self.ids[:1] == [self.sealer(stored)]

    @staticmethod
    def sealer(stored: str) -> str:
        """Return the id of the key that a stored text was sealed with; "" if it is not sealed."""
        return stored[len(_PREFIX) :].partition(":")[0] if stored.startswith(_PREFIX) else ""

    def _refresh(self) -> None:
        """Read the file again if it has changed; while it is away, or is being edited, what is known stays."""
        if self._path is None:
            return
        try:
            if _stamp(self._path.stat()) != self._read_at:
                self._read()
        except (OSError, InstallationError) as error:
            _log.warning("the keys stay as they were: %s", error)

    def _read(self) -> None:
        assert self._path is not None
        try:
            found = self._path.stat()
            text = self._path.read_text("ascii")
        except (OSError, UnicodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise InstallationError(
                f"the keys of the control plane's secrets in {self._path} cannot be read: {why}. Restore the file from "
                "your backup; without it passwords of providers, TOTP secrets and signing keys in the database are lost"
            ) from None
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise InstallationError(f"{self._path} can be read by others: `chmod 600 {self._path}`")
        self._set(parse_keys(text, str(self._path)))
        self._read_at = _stamp(found)

    def _set(self, keys: Iterable[bytes]) -> None:
        self._keys = {key_id(key): key for key in keys}


def key_id(key: bytes) -> str:
    """Return a key's name, which says nothing else of it."""
    return hashlib.blake2b(key, person=b"keyring", digest_size=16).hexdigest()[:_ID_CHARS]


def parse_keys(text: str, where: str) -> list[bytes]:
    """Return the keys in a text. Raises InstallationError, which does not repeat it."""
    keys = []
    for number, word in enumerate(text.split(), 1):
        try:
            key = base64.b64decode(word, validate=True)
        except (binascii.Error, ValueError):
            key = b""
        if len(key) != KEY_BYTES:
            raise InstallationError(
                f"key {number} in {where} is not {KEY_BYTES} bytes in base64: `openssl rand -base64 32`"
            )
        keys.append(key)
    if not 0 < len(keys) <= MAX_KEYS:
        raise InstallationError(f"{where} holds {len(keys)} keys; 1 to {MAX_KEYS} are needed")
    return keys


def make_key_file(path: Path) -> None:
    """Make a file with one new key, unless there is one."""
    try:
        opened = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    with open(opened, "wb") as file:
        file.write(_line(secrets.token_bytes(KEY_BYTES)))
        file.flush()
        os.fsync(file.fileno())


def write_key_file(path: Path, keys: Iterable[bytes]) -> None:
    """Replace a key file: whoever reads it sees the whole old or the whole new one."""
    write_private(path, b"".join(map(_line, keys)))


def _line(key: bytes) -> bytes:
    return base64.b64encode(key) + b"\n"


def _bound(column: str) -> bytes:
    return b"user-whisperer/" + column.encode()


def _stamp(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_mtime_ns, found.st_size, found.st_ino

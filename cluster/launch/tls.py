"""Gives HAProxy its certificate: checks the files that the settings name, and replaces them while it serves.

HAProxy never reads the operator's files. It reads a copy, certificate and key in one file that only its owner may read,
and a pair is copied only after it was checked: half-written, expired or unrelated files cannot stop a later restart of
HAProxy, of which Ray does several. A new pair is handed to the running HAProxy over its admin socket: connections that
are open keep the old certificate, new ones get the new one, and no listener closes.

TLS 1.3 is the only version spoken.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from cluster.errors import InstallationError, SettingsError
from cluster.private_files import write_private
from whisperer.settings import ServerSettings

COPY = "tls.pem"
ADMIN_SOCKET = "a"
MAX_BYTES = 15_000
"""Certificate, chain and key together: HAProxy's admin socket takes one buffer (16 KB) at a time."""
_ANSWER_S = 10.0
_MOST_READ = 256 << 10
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n[A-Za-z0-9+/=\r\n:,. -]+?-----END \1-----")


def is_on(server: ServerSettings) -> bool:
    """Return whether the settings name a certificate."""
    return bool(server.tls_certificate)


def listener(folder: Path) -> str:
    """Return what the public listener's line has to end with. HTTP/2 is left out on purpose (:mod:`.front_door`)."""
    return f" ssl crt {folder / COPY} ssl-min-ver TLSv1.3 alpn http/1.1"


def checked(server: ServerSettings, now: datetime | None = None) -> bytes:
    """Return certificate, chain and key as one PEM document.

    Raises SettingsError if a file cannot be read, is not PEM, needs a passphrase, or holds a key of another
    certificate, or if the certificate is not valid now.
    """
    certificate = _read("server.tls_certificate", server.tls_certificate)
    key = _read("server.tls_key", server.tls_key)
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
    except ValueError:
        raise SettingsError(
            f"server.tls_certificate: {server.tls_certificate} holds no certificate in PEM form "
            "(-----BEGIN CERTIFICATE-----)."
        ) from None
    parts = [certificate] if key == certificate else [certificate, key]
    # Nothing but the blocks, no blank lines: a blank line ends what the admin socket takes.
    blocks = [found[0] for part in parts for found in _BLOCK.finditer(part)]
    content = b"".join(line.strip() + b"\n" for block in blocks for line in block.splitlines() if line.strip())
    if len(content) > MAX_BYTES:
        raise SettingsError(
            f"server.tls_certificate: certificate, issuers and key have {len(content)} bytes in all, and may have "
            f"{MAX_BYTES}: leave out the root, which clients have."
        )
    _check_pair(server, content)
    now = now or datetime.now(UTC)
    if not leaf.not_valid_before_utc <= now <= leaf.not_valid_after_utc:
        raise SettingsError(
            f"server.tls_certificate: {server.tls_certificate} is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M}"
            f" to {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC, which is not now: renew it."
        )
    return content


def place(folder: Path, server: ServerSettings) -> bytes:
    """Write HAProxy's copy, and return it. Raises SettingsError as :func:`checked` does."""
    content = checked(server)
    write_private(folder / COPY, content)
    return content


def renew(folder: Path, server: ServerSettings) -> datetime:
    """Have a running HAProxy use the files as they are now; return when the certificate expires.

    Raises SettingsError, then nothing has changed, and InstallationError if HAProxy does not take it.
    """
    content = place(folder, server)
    sockets = [path for path in folder.glob(f"*/{ADMIN_SOCKET}") if path.is_socket()]
    if not sockets:
        raise InstallationError(f"HAProxy has no admin socket in {folder}: is the installation up?")
    name = folder / COPY
    payload = content.decode("ascii").strip()
    for path in sockets:
        for command in (f"set ssl cert {name} <<\n{payload}\n", f"commit ssl cert {name}"):
            said = _ask(path, command)
            if not any(word in said for word in ("Success", "Transaction created", "Transaction updated")):
                raise InstallationError(f"HAProxy did not take the certificate: {said.strip()[:500]}")
    return x509.load_pem_x509_certificates(content)[0].not_valid_after_utc


def _read(setting: str, path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_READ + 1)
    except OSError as error:
        raise SettingsError(f"{setting}: {path} cannot be read: {error.strerror}.") from None
    if len(content) > _MOST_READ:
        raise SettingsError(f"{setting}: {path} has more than {_MOST_READ >> 10} KB.")
    return content


def _check_pair(server: ServerSettings, content: bytes) -> None:
    """Have OpenSSL load what was read, not the files, which may be replaced meanwhile."""

    def no_passphrase() -> str:
        raise SettingsError(f"server.tls_key: {server.tls_key} needs a passphrase: decrypt it with `openssl pkey`.")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    memory = os.memfd_create("certificate")
    try:
        os.write(memory, content)
        context.load_cert_chain(f"/proc/self/fd/{memory}", password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            why = f"is not the key of {server.tls_certificate}"
        else:
            why = f"or {server.tls_certificate} cannot be used ({error.reason or 'not PEM'})"
        raise SettingsError(f"server.tls_key: {server.tls_key} {why}.") from None
    finally:
        os.close(memory)


def _ask(path: Path, command: str) -> str:
    try:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as admin:
            admin.settimeout(_ANSWER_S)
            admin.connect(str(path))
            admin.sendall(f"{command}\n".encode())
            said = b""
            while piece := admin.recv(65_536):
                said += piece
    except OSError as error:
        raise InstallationError(f"HAProxy's admin socket does not answer: {error}") from None
    return said.decode("utf-8", "replace")

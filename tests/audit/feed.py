"""Advisories without a network: a server on loopback that answers pip-audit from ``advisories.toml``.

It speaks as much of OSV's interface as pip-audit needs: ``POST /v1/query`` with a package and a version. The file is small
and ages; :func:`covered` names the packages it knows anything of, so that the audit can say which it does not.
"""

from __future__ import annotations

import json
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
from packaging.version import Version

FILE = Path(__file__).with_name("advisories.toml")
_MAX_QUERY_BYTES = 10_000


class Advisory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A known hole in some versions of a package, whose name is canonical."""

    package: str
    id: str
    aliases: list[str]
    ranges: list[tuple[str, str]]
    """Versions from the first up to the one that fixes it."""
    summary: str

    def affects(self, version: str) -> bool:
        return any(Version(first) <= Version(version) < Version(fixed) for first, fixed in self.ranges)

    def as_osv(self) -> dict[str, Any]:
        events = [event for first, fixed in self.ranges for event in ({"introduced": first}, {"fixed": fixed})]
        of = {"package": {"ecosystem": "PyPI", "name": self.package}}
        ranges = [{"type": "ECOSYSTEM", "events": events}]
        return {"id": self.id, "aliases": self.aliases, "summary": self.summary, "affected": [of | {"ranges": ranges}]}


class Feed(msgspec.Struct, frozen=True):
    """What the file says, and how old it is."""

    as_of: str
    advisory: list[Advisory]

    def covered(self) -> set[str]:
        """Return the names of packages with at least one advisory."""
        return {advisory.package for advisory in self.advisory}


def read(path: Path = FILE) -> Feed:
    return msgspec.convert(tomllib.loads(path.read_text()), Feed)


@contextmanager
def serving(feed: Feed) -> Iterator[str]:
    """Serve the advisories on a free port of loopback; yield the address to ask."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(min(int(self.headers["Content-Length"]), _MAX_QUERY_BYTES)))
            name, version = query["package"]["name"], query["version"]
            found = [a.as_osv() for a in feed.advisory if a.package == name and a.affects(version)]
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Write nothing: the audit says what was asked."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1/query"
        finally:
            server.shutdown()
            thread.join()

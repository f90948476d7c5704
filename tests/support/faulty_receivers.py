"""A real mail server and a real webhook endpoint that are slow or break off on purpose, and count what they took.

A copy counts once the server has the whole message, whether its answer is heard or not: that is what a reader may have.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.support.stand import free_port

OPEN: dict[str, Any] = {"DELIVERY_OPEN_NETWORKS": "127.0.0.0/8"}
"""Settings of an installation that is to reach them."""
_SECRET = "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="


def by_mail(port: int, **more: Any) -> dict[str, Any]:
    """The channel e-mail, through a :func:`mail_server`."""
    server = {"host": "127.0.0.1", "port": port, "tls": "none", "sender": "Ada <ada@acme.example>"}
    return {"provider": "smtp", "config": server | more}


def by_webhook(port: int) -> dict[str, Any]:
    """The channel webhook, to an :func:`endpoint`."""
    return {"provider": "webhook", "config": {"url": f"http://127.0.0.1:{port}/x", "secrets": [_SECRET]}}


@dataclass
class Taken:
    """``n_copies``: whole messages by whom they are for. ``after_s``: the pause before each is answered."""

    after_s: float = 0.0
    how: str = "answers"
    """Or "drops": breaks the connection instead of answering; or "silent": never answers."""
    n_copies: Counter[str] = field(default_factory=Counter)

    @property
    def n_more_than_once(self) -> int:
        return sum(n > 1 for n in self.n_copies.values())


class _Mail:
    def __init__(self, taken: Taken) -> None:
        self._taken = taken

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self._taken.n_copies[envelope.rcpt_tos[0]] += 1
        await asyncio.sleep(self._taken.after_s if self._taken.how == "answers" else 0)
        if self._taken.how == "drops":
            assert server.transport is not None
            server.transport.abort()
        if self._taken.how == "silent":
            await asyncio.sleep(3_600)
        return "250 2.0.0 queued as 1"


@contextmanager
def mail_server(taken: Taken) -> Iterator[int]:
    """Its port, on loopback."""
    controller = Controller(_Mail(taken), hostname="127.0.0.1", port=free_port(), timeout=3_600)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@contextmanager
def endpoint(taken: Taken) -> Iterator[int]:
    """Its port, on loopback. Copies are counted by webhook-id, as a receiver who drops repeats does."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            taken.n_copies[self.headers["webhook-id"]] += 1
            if taken.how == "drops":
                self.close_connection = True
                self.connection.close()
                return
            over.wait(taken.after_s if taken.how == "answers" else 3_600)
            self.send_response(204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing on the test's output."""

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except (OSError, ValueError):  # whoever called has gone, or we dropped them
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()

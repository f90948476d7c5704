"""A gateway as a recipient sees it: takes events, shows a sink, answers links; in memory, behind httpx's mock transport.

``troubles`` maps "METHOD path-prefix" to a list of answers given once each before the proper one; a string is a broken
connection.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

URL = "http://gateway.test"
SITE = "https://app.acme-projects.example"
CHANNEL_OF = {"tips-email": "email", "offer-email": "email", "nudge-sms": "sms", "nudge-push": "push"}


class SinkGateway:
    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.touched: list[tuple[str, str]] = []
        self.bodies: list[str] = []
        self.link_to_arm: dict[str, str] = {}
        self.troubles: dict[str, list[int | str]] = {}
        self.keys: set[str] = set()
        self.reject = False

    def client(self, authorization: str = "") -> httpx.Client:
        headers = {"Authorization": authorization} if authorization else {}
        return httpx.Client(base_url=URL, headers=headers, transport=httpx.MockTransport(self.answer))

    def send(self, user: str, arm: str, now_ms: int, *, campaign: str) -> str:
        """Put a message into the sink; its send key."""
        serial = len(self.messages) + 1
        key, channel = f"snd_{serial:05}", CHANNEL_OF[arm]
        link = f"{URL}/m/c/{key}-c"
        self.link_to_arm[f"/m/c/{key}-c"] = arm
        parts = {"text": f"Have a look: {link}."}
        headers = {}
        if channel == "email":
            html = f'<p><a href="{link}">Look</a></p><img src="{URL}/m/o/{key}-o" alt="">'
            parts |= {"subject": "News", "html": html}
            headers = {
                "List-Unsubscribe": f"<{URL}/m/u/{key}-u>",
                "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
            }
        elif channel == "push":
            parts = {"title": "News", "body": f"{link}をご覧ください"}
        self.messages.append(
            {
                "serial": serial,
                "send_key": key,
                "decision_id": f"dec_{serial}",
                "channel": channel,
                "user_id": user,
                "user_key": f"u:{user}",
                "campaign": campaign,
                "parts": parts,
                "headers": headers,
                "received_at": now_ms,
            }
        )
        return key

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        assert str(request.url).startswith(URL), "nothing but the gateway is ever asked"
        for where, answers in self.troubles.items():
            if f"{request.method} {path}".startswith(where) and answers:
                trouble = answers.pop(0)
                if isinstance(trouble, str):
                    raise httpx.ConnectError(trouble)
                return httpx.Response(trouble, headers={"Retry-After": "7"})
        self.keys.add(f"{path[:4]} {request.headers.get('authorization', '')}")
        if path == "/v1/batch":
            batch = json.loads(request.content)["batch"]
            if self.reject:
                rejected = [{"index": i, "code": "x"} for i in range(len(batch))]
                return httpx.Response(400, json={"code": "all_events_rejected", "rejected": rejected})
            self.events.extend(batch)
            return httpx.Response(200, json={"success": True})
        if path == "/v1/sink/messages":
            after, limit = int(request.url.params["after"]), int(request.url.params["limit"])
            page = [m for m in self.messages if m["serial"] > after][:limit]
            return httpx.Response(200, json={"data": page, "next_cursor": None})
        if path.startswith("/m/c/") and request.method == "HEAD":
            page = "/billing?offer=20" if self.link_to_arm[path] == "offer-email" else "/projects?from=tips"
            return httpx.Response(302, headers={"Location": SITE + page})
        self.touched.append((request.method, path))
        self.bodies.append(request.content.decode())
        if path.startswith("/m/c/"):
            return httpx.Response(302, headers={"Location": f"{SITE}/projects"})
        return httpx.Response(200)


class ServedGateway(SinkGateway):
    """The same behind a real socket. Each session is answered at once by a message of the next arm; ``satisfied`` is set
    as soon as ``enough`` says so."""

    def __init__(self, *, campaign: str, enough: Callable[[SinkGateway], bool]) -> None:
        super().__init__()
        self._campaign = campaign
        self._enough = enough
        self._lock = threading.Lock()
        self.satisfied = threading.Event()
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {"Authorization": self.headers.get("Authorization", "")}
                answer = gateway._locked(httpx.Request(self.command, URL + self.path, headers=headers, content=content))
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name.lower() != "content-length":
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_GET = do_POST = do_HEAD = _serve  # noqa: N815  the names that http.server looks for

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> ServedGateway:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    def _locked(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            known = len(self.events)
            answer = self.answer(request)
            for event in self.events[known:]:
                if event.get("event") == "Session Started":
                    arm = list(CHANNEL_OF)[len(self.messages) % len(CHANNEL_OF)]
                    self.send(event["userId"], arm, time.time_ns() // 1_000_000, campaign=self._campaign)
            if self._enough(self):
                self.satisfied.set()
            return answer

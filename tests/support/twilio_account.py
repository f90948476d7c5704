"""An account at Twilio as its API describes it: takes messages, and lists them page by page, as its published contract
has them. What is taken can be listed late, and every request can fail on its way in or on its way out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlencode

from tests.support.provider_server import Call, Fate, Says

SID = "AC" + "a" * 32
PATH = f"/2010-04-01/Accounts/{SID}/Messages.json"


@dataclass
class TwilioAccount:
    """``now`` gives ms UTC. ``post`` and ``get`` say what becomes of a request: None is well."""

    now: Callable[[], int]
    post: Callable[[], str | None] = lambda: None
    get: Callable[[], Says | Fate | None] = lambda: None
    lag_ms: int = 0
    """How much later a message is listed than it was taken."""
    page_size: int | None = None
    """Pages are no larger than this, whatever is asked for."""
    messages: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """(when it was taken, ms UTC; the message), newest first."""
    n_lists: int = 0

    def copies(self) -> Counter[str]:
        """How often each text was taken."""
        return Counter(message["body"] for _, message in self.messages)

    def take(self, to: str, body: str, **more: Any) -> dict[str, Any]:
        at = format_datetime(datetime.fromtimestamp(self.now() // 1000, UTC))
        message = {
            "account_sid": SID, "api_version": "2010-04-01", "body": body, "date_created": at, "date_sent": None,
            "date_updated": at, "direction": "outbound-api", "error_code": None, "error_message": None,
            "from": "+15005550001", "messaging_service_sid": None, "num_media": "0", "num_segments": "1",
            "price": None, "price_unit": "USD", "sid": f"SM{len(self.messages):032x}", "status": "queued", "to": to,
            "uri": f"/2010-04-01/Accounts/{SID}/Messages/SM{len(self.messages):032x}.json",
            **more,
        }  # fmt: skip
        self.messages.insert(0, (self.now(), message))
        return message

    def __call__(self, call: Call) -> Says | Fate:
        assert call.target.partition("?")[0] == PATH
        assert call.headers["authorization"].startswith("Basic ")
        return self._listed(call.query()) if call.method == "GET" else self._taken(call.form())

    def _taken(self, form: dict[str, str]) -> Says | Fate:
        """Fates of a request: "lost" before it is taken, "dropped" after, "500" taken or "500, lost" not."""
        fate = self.post()
        message = None if fate in ("lost", "500, lost") else self.take(form["To"], form["Body"])
        if fate in ("lost", "dropped"):
            return Fate.DROPS
        if fate is not None:
            return Says(500, "{}")
        return Says(201, json.dumps(message))

    def _listed(self, asked: dict[str, str]) -> Says | Fate:
        self.n_lists += 1
        failure = self.get()
        if failure is not None:
            return failure
        assert set(asked) <= {"To", "PageSize", "Page", "PageToken"}
        assert 1 <= int(asked["PageSize"]) <= 1_000
        size = min(int(asked["PageSize"]), self.page_size or 1_000)
        page = int(asked.get("Page", "0"))
        assert ("PageToken" in asked) == (page > 0)
        shown = [
            message for at, message in self.messages if message["to"] == asked["To"] and at + self.lag_ms <= self.now()
        ]
        here, is_last = shown[page * size : (page + 1) * size], (page + 1) * size >= len(shown)
        following = {**asked, "Page": str(page + 1), "PageToken": f"PA{page + 1}"}
        return Says(
            200,
            json.dumps(
                {
                    "first_page_uri": f"{PATH}?{urlencode({**asked, 'Page': '0'})}",
                    "next_page_uri": None if is_last else f"{PATH}?{urlencode(following)}",
                    "previous_page_uri": None,
                    "page": page,
                    "page_size": size,
                    "messages": here,
                    "start": page * size,
                    "end": page * size + len(here),
                    "uri": PATH,
                }
            ),
        )

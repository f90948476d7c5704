"""Ask a gateway that may be busy: one request at a time, each kind of work with its own patience."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from cluster.importing.retry_after import retry_after_s
from whisperer.errors import UnavailableError

_LONGEST_PAUSE_S = 30.0


class Patience:
    """Repeat one piece of work, and delay it when the gateway asks to. Two of them do not wait for each other."""

    def __init__(self, step: Callable[[], bool]) -> None:
        self._step = step
        self._not_before_ms = 0.0
        self._n_failures = 0
        self.trouble = ""

    def once(self, now_ms: int) -> bool:
        """Do the work if it is time; return whether there is more to do at once."""
        if now_ms < self._not_before_ms:
            return False
        try:
            more = self._step()
        except UnavailableError as busy:
            self._n_failures += 1
            self.trouble = busy.message
            wait_s = 0.5 * 2 ** min(self._n_failures - 1, 10) if busy.retry_after_s is None else busy.retry_after_s
            self._not_before_ms = now_ms + 1000 * min(_LONGEST_PAUSE_S, wait_s)
            return False
        self._n_failures, self.trouble = 0, ""
        return more


def ask(http: httpx.Client, method: str, path: str, **more: Any) -> httpx.Response:
    """Send one request without following redirects. Raises UnavailableError for failures worth retrying."""
    try:
        answer = http.request(method, path, follow_redirects=False, **more)
    except httpx.TransportError as error:
        raise UnavailableError(type(error).__name__) from error
    if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
        wait_s = retry_after_s(answer.headers.get("Retry-After"))
        raise UnavailableError(f"HTTP {answer.status_code}", retry_after_s=wait_s)
    return answer

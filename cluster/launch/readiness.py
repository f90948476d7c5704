"""Waits for `/readyz`: the gateway answers 200 once everything behind it is ready, otherwise 503 with reasons."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from cluster.errors import StartError

_POLL_S = 0.15


def probe(url: str) -> tuple[bool, str]:
    """Return whether the server is ready and, if not, why."""
    try:
        answer = httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False)
    except httpx.HTTPError as error:
        return False, f"no answer from {url} ({type(error).__name__})"
    if answer.status_code == 200:
        return True, ""
    return False, _reasons(answer)


def wait(url: str, deadline: float, waiting_for: Callable[[str], None], running: Callable[[], bool]) -> None:
    """Return once `/readyz` is 200; ``deadline`` is a ``time.monotonic`` time.

    Raises StartError with the latest reasons when time is up or the cluster has ended.
    """
    while True:
        ready, why = probe(url)
        if ready:
            return
        waiting_for(why)
        if not running():
            raise StartError(f"Ray's servers ended while waiting for {url}/readyz ({why})")
        if time.monotonic() > deadline:
            raise StartError(f"{url}/readyz is not 200: {why}")
        time.sleep(_POLL_S)


def _reasons(answer: httpx.Response) -> str:
    """Return what an unready answer says: its ``reasons``, or failing that a problem's detail, or the status."""
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        reasons = body.get("reasons")
        if isinstance(reasons, list) and reasons:
            return "; ".join(str(reason) for reason in reasons)
        if isinstance(reasons, dict) and reasons:
            return "; ".join(f"{part}: {reason}" for part, reason in reasons.items())
        if body.get("detail"):
            return str(body["detail"])
    if answer.status_code == 404:
        return "HTTP server is up, the gateway has no route yet"
    return f"status {answer.status_code}"

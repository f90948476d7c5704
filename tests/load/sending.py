"""One sender: batches over a kept-alive connection, an answer for each counted. Standard library only: it runs anywhere.

An answer of 429 or 5xx and a broken connection are tried again with the same messageIds, as SDKs do, so what a sender
says was acknowledged is what the gateway must have counted, once.
"""

from __future__ import annotations

import base64
import http.client
import json
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT_S = 30.0
MAX_TRIES = 20
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0


@dataclass
class Sent:
    """What one task did. Latencies in seconds, of requests that were answered 200 at once or after trying again."""

    task: int
    n_events: int = 0
    n_requests: int = 0
    n_tries: int = 0
    seconds: float = 0.0
    node: str = ""
    latencies: list[float] = field(default_factory=list)


def batch(run: str, task: int, number: int, size: int, n_users: int) -> bytes:
    """Events whose messageIds say where they come from: none is ever sent with another content."""
    first = number * size
    events = [
        {
            "type": "track",
            "event": "Load Sent",
            "userId": f"load-{(task * 7919 + place * 31) % n_users:07d}",
            "messageId": f"{run}-{task}-{place}",
            "properties": {"task": task, "revenue": 1},
            "context": {
                "library": {"name": "tests.load", "version": "1"},
                "locale": "en-US",
                "timezone": "Europe/Paris",
            },
        }
        for place in range(first, first + size)
    ]
    return json.dumps({"batch": events}).encode()


def send(url: str, key: str, run: str, task: int, n_batches: int, size: int, n_users: int) -> Sent:
    """Send ``n_batches`` batches of ``size`` events, one after another. Raises RuntimeError when one is not taken."""
    sent = Sent(task)
    where = urlsplit(url)
    headers = {
        "Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode(),
        "Content-Type": "application/json",
    }
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection
    connection = kind(where.hostname or "127.0.0.1", where.port, timeout=TIMEOUT_S)
    path = where.path.rstrip("/") + "/v1/batch"
    began = time.perf_counter()
    for number in range(n_batches):
        body = batch(run, task, number, size, n_users)
        asked = time.perf_counter()
        sent.n_tries += _until_taken(connection, path, body, headers)
        sent.latencies.append(time.perf_counter() - asked)
        sent.n_requests += 1
        sent.n_events += size
    sent.seconds = time.perf_counter() - began
    connection.close()
    return sent


def _until_taken(connection: http.client.HTTPConnection, path: str, body: bytes, headers: dict[str, str]) -> int:
    """How many tries it took."""
    pause_s, last = _FIRST_PAUSE_S, "nothing"
    for number in range(1, MAX_TRIES + 1):
        try:
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status == 200:
                return number
            last = f"{answer.status} {text[:200]!r}"
            if answer.status < 500 and answer.status != 429:
                break
            pause_s = max(pause_s, float(answer.headers.get("Retry-After") or 0))
        except (OSError, http.client.HTTPException) as error:
            last = repr(error)
            connection.close()
        time.sleep(pause_s)
        pause_s = min(_LONGEST_PAUSE_S, 2 * pause_s)
    raise RuntimeError(f"a batch was not taken: {last}")

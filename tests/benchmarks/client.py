"""An HTTP client as machine code, for loads that one in Python could not make without becoming the bottleneck.

Its loop is compiled by numba, which the product needs anyway, and calls the C library's sockets: where Python runs, it
runs, at about what wrk costs. Prebuilt requests over kept-alive connections, one at a time on each; unlike wrk it also
keeps a steady rate, whatever the answers take, and counts latencies from when a request was due.

    python -m tests.benchmarks.client REQUESTS --port 8000 --connections 32 --seconds 10 [--per-s 2000] [--again]

Prints the line of JSON that `walk.lua` and `load.py` print, with the CPU seconds of the loop. It reads answers with a
Content-Length, of up to `ANSWER_BYTES`; a connection that is closed is not opened again.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import select
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from tests.benchmarks.prebuilt import spans

ANSWER_BYTES = 1 << 20
LAST_ANSWERS_S = 10.0
"""So long after its time is over, a load waits for the answers to what it has sent."""

_C = ctypes.CDLL(None, use_errno=False)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    found = getattr(_C, name)
    found.restype, found.argtypes = result, list(arguments)
    return found


_int, _long, _pointer, _size = ctypes.c_int, ctypes.c_ssize_t, ctypes.c_void_p, ctypes.c_size_t
_send = _function("send", _long, _int, _pointer, _size, _int)
_recv = _function("recv", _long, _int, _pointer, _size, _int)
_close = _function("close", _int, _int)
_epoll_wait = _function("epoll_wait", _int, _int, _pointer, _int, _int)
_ppoll = _function("ppoll", _int, _pointer, _size, _pointer, _pointer)
_clock_gettime = _function("clock_gettime", _int, _int, _pointer)

_MONOTONIC = 1
_NOSIGNAL = 0x4000
_MAX_EVENTS = 256


@njit(nogil=True)
def _now(clock):
    _clock_gettime(_MONOTONIC, clock.ctypes)
    return clock[0] + clock[1] * 1e-9


@njit(nogil=True)
def _length(buffer, n):
    """Bytes of the whole answer that begins in a buffer; 0 while its headers are incomplete."""
    content, at = 0, 0
    while at + 3 < n:
        if buffer[at] == 13 and buffer[at + 1] == 10:
            if buffer[at + 2] == 13 and buffer[at + 3] == 10:
                return at + 4 + content
            # "content-length:", by its letters in lower case
            is_length = (
                at + 17 < n and buffer[at + 2] | 32 == 99 and buffer[at + 9] == 45 and buffer[at + 10] | 32 == 108
            )
            if is_length and buffer[at + 16] == 58:
                content, digit = 0, at + 17
                while digit < n and buffer[digit] == 32:
                    digit += 1
                while digit < n and 48 <= buffer[digit] <= 57:
                    content = content * 10 + (buffer[digit] - 48)
                    digit += 1
        at += 1
    return 0


@njit(nogil=True)
def _drive(
    poll, sockets, places, data, first, last, again, began, seconds, per_s, statuses, latencies, sent_at, done_at
):
    """Send requests until the time is over or they are used up; the numbers sent, answered and broken.

    ``per_s`` of 0: as fast as answers come. Latencies in seconds, in order of completion; ``done_at`` is when the last
    answer came.
    """
    n_connections, n_requests = len(sockets), len(first)
    clock, until_next = np.zeros(2, np.int64), np.zeros(2, np.int64)
    events, waiting = np.zeros(_MAX_EVENTS * 3, np.int32), np.zeros(2, np.int32)
    waiting[0], waiting[1] = poll, 1
    buffers, held = np.zeros((n_connections, ANSWER_BYTES), np.uint8), np.zeros(n_connections, np.int64)
    free, n_free = np.arange(n_connections), n_connections
    n_sent = n_answered = n_broken = 0
    most = len(latencies)
    while True:
        now = _now(clock)
        is_over = now >= began + seconds or n_sent >= most or (not again and n_sent >= n_requests)
        while n_free and not is_over:
            due = began + n_sent / per_s if per_s else now
            if due > now:
                break
            if due >= began + seconds:
                is_over = True
                break
            n_free -= 1
            connection, number = free[n_free], n_sent % n_requests
            if sent_at[connection] < 0:  # closed while it was idle
                continue
            size = last[number] - first[number]
            sent_at[connection] = due
            n_sent += 1
            if _send(sockets[connection], data[first[number] :].ctypes, size, _NOSIGNAL) != size:
                sent_at[connection] = -1.0
                _close(sockets[connection])
                n_broken += 1
            is_over = n_sent >= most or (not again and n_sent >= n_requests)
        n_under_way = n_sent - n_answered - n_broken
        if n_under_way == 0 and (is_over or n_free == 0):
            break
        if now > began + seconds + LAST_ANSWERS_S:
            break
        if per_s and n_free and not is_over:  # epoll counts in milliseconds, which is too coarse for the next one due
            wait_s = max(0.0, began + n_sent / per_s - now)
            until_next[0], until_next[1] = int(wait_s), int((wait_s - int(wait_s)) * 1e9)
            _ppoll(waiting.ctypes, 1, until_next.ctypes, 0)
            n_events = _epoll_wait(poll, events.ctypes, _MAX_EVENTS, 0)
        else:
            n_events = _epoll_wait(poll, events.ctypes, _MAX_EVENTS, 100)
        now = _now(clock)
        for place in range(n_events):
            connection = places[events[place * 3 + 1]]
            if sent_at[connection] < 0:
                continue
            buffer, n = buffers[connection], held[connection]
            got = _recv(sockets[connection], buffer[n:].ctypes, ANSWER_BYTES - n, 0)
            if got <= 0:
                n_broken += sent_at[connection] > 0  # and not only an idle connection closed
                sent_at[connection] = -1.0
                _close(sockets[connection])  # or epoll would report it again and again
                continue
            n += got
            held[connection] = n
            whole = _length(buffer, n)
            if whole == 0 or n < whole:
                continue
            status = (buffer[9] - 48) * 100 + (buffer[10] - 48) * 10 + (buffer[11] - 48)
            statuses[status] += 1
            latencies[n_answered] = now - sent_at[connection]
            n_answered += 1
            done_at[0] = now
            held[connection], sent_at[connection] = 0, 0.0
            free[n_free] = connection
            n_free += 1
    return n_sent, n_answered, n_broken


def load(path: Path, port: int, connections: int, seconds: float, per_s: float = 0.0, again: bool = False) -> Any:
    """Send a load; the line to print. The loop is compiled before its time begins."""
    data = np.memmap(path, np.uint8, "r")
    first, last = spans(data)
    _run(data, first[:0], last[:0], port, 1, 0.0, 1.0, again)  # compiles
    return _run(data, first, last, port, connections, seconds, per_s, again)


def _run(
    data: Any, first: Any, last: Any, port: int, connections: int, seconds: float, per_s: float, again: bool
) -> dict[str, Any]:
    sockets = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    poll = select.epoll()
    places = np.zeros(max(one.fileno() for one in sockets) + 1, np.int64)
    for place, one in enumerate(sockets):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(one, select.EPOLLIN)
        places[one.fileno()] = place
    statuses = np.zeros(1_000, np.int64)
    latencies = np.zeros(max(1_000, int(seconds * 100_000)))
    sent_at, done_at = np.zeros(connections), np.zeros(1)
    numbers = np.array([one.fileno() for one in sockets], np.int64)
    cpu = time.process_time()
    began = time.monotonic()
    n_sent, n_answered, n_broken = _drive(
        poll.fileno(),
        numbers,
        places,
        data,
        first,
        last,
        again,
        began,
        seconds,
        per_s,
        statuses,
        latencies,
        sent_at,
        done_at,
    )
    cpu = time.process_time() - cpu
    for place, one in enumerate(sockets):
        if sent_at[place] < 0:
            one.detach()
        else:
            one.close()
    poll.close()
    found = np.sort(latencies[:n_answered]) * 1000
    p50, p95, p99 = np.percentile(found, [50, 95, 99]) if n_answered else (0.0, 0.0, 0.0)
    return {
        "seconds": float(max(done_at[0] - began, 1e-9)) if per_s == 0 else max(seconds, float(done_at[0] - began)),
        "answered": int(n_answered),
        "refused": int(statuses[400:].sum()),
        "broken": int(n_broken),
        "timeouts": int(n_sent - n_answered - n_broken),
        "taken": int(n_sent),
        "p50_ms": round(float(p50), 3),
        "p95_ms": round(float(p95), 3),
        "p99_ms": round(float(p99), 3),
        "max_ms": round(float(found[-1]), 3) if n_answered else 0.0,
        "cpu_s": round(cpu, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("requests", type=Path, help="a file of tests/benchmarks/prebuilt.py")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--per-s", type=float, default=0.0, help="a steady rate; without it as fast as answers come")
    parser.add_argument("--again", action="store_true", help="begin again with the first request after the last one")
    options = parser.parse_args()
    found = load(options.requests, options.port, options.connections, options.seconds, options.per_s, options.again)
    print(json.dumps(found))


if __name__ == "__main__":
    main()

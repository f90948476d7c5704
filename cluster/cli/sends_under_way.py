"""Shows how many messages providers have not answered for, while an order waits for them: upgrades and moves do."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from cluster.operator_client import Operator
from whisperer.errors import WhispererError

LOOK_S = 1.0


def shown(operator: Operator, what: str, order: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What ``order`` answers; until then, on a terminal, ``what`` and the messages under way."""
    from rich.console import Console

    with ThreadPoolExecutor(1) as pool, Console(stderr=True).status(what) as status:
        answer: Future[dict[str, Any]] = pool.submit(order)
        while True:
            try:
                return answer.result(LOOK_S)
            except FutureTimeoutError:
                if answer.done():  # the order's own
                    raise
            n = n_under_way(operator)
            status.update(f"{what}: waiting for {n} messages under way" if n else what)


def n_under_way(operator: Operator) -> int:
    try:
        shards = operator.get("shards")["shards"]
    except WhispererError:  # a gateway that is busy; what it would say is for people only
        return 0
    return sum(shard.get("messages_under_way", 0) for shard in shards)

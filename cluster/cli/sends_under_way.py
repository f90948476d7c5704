"""Shows how many messages are waiting for a provider's answer while an upgrade or a move waits for them."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from rich.console import Console

from cluster.cli.answers.installation import Shards
from cluster.cli.answers.reading import read
from cluster.operator_client import Operator
from whisperer.errors import WhispererError

LOOK_S = 1.0


def shown(operator: Operator, what: str, order: Callable[[], Any]) -> Any:
    """Carry out ``order`` and return its answer; until then show ``what`` and the messages under way on a terminal."""
    with ThreadPoolExecutor(1) as pool, Console(stderr=True).status(what) as status:
        answer: Future[Any] = pool.submit(order)
        while True:
            try:
                return answer.result(LOOK_S)
            except FutureTimeoutError:
                if answer.done():  # the order itself timed out
                    raise
            n = n_under_way(operator)
            status.update(f"{what}: waiting for {n} messages under way" if n else what)


def n_under_way(operator: Operator) -> int:
    """Return how many messages of all shards are under way, or 0 if the gateway does not answer."""
    try:
        shards = read(operator.get("shards"), Shards).shards
    except WhispererError:  # a busy gateway; the number is only shown to people
        return 0
    return sum(shard.messages_under_way for shard in shards)

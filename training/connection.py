"""Connect a run to Ray: the cluster that RAY_ADDRESS names, or a small one that lives as long as the run."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

from training.request import Request
from training.task import Task
from whisperer.errors import UnavailableError

_SMALLEST_STORE = 128 << 20


@contextmanager
def connected(request: Request, task: Task) -> Iterator[None]:
    """Keep Ray connected inside the block. Raises UnavailableError if the cluster does not answer."""
    import ray

    address = "" if request.local else os.environ.get("RAY_ADDRESS", "")
    if address:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UnavailableError(
                f"the cluster that RAY_ADDRESS names ({address}) does not answer: {str(error).strip()[:200]}. Start it,"
                " or train without it: --local"
            ) from None
    else:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        n_bytes = sum(array.nbytes for array in (task.x, task.y, task.held, task.target, task.seen))
        ray.init(
            address="local",
            num_cpus=request.search.at_once,
            include_dashboard=False,
            # Room for the rows, once; Tune adds little.
            object_store_memory=max(_SMALLEST_STORE, int(1.2 * n_bytes)),
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    try:
        yield
    finally:
        ray.shutdown()

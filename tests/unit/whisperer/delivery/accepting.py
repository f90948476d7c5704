"""A process that sends into a sink and writes each answered send key, until it is killed: ``path name batch_size``."""

from __future__ import annotations

import sys

from serve_apps.delivery.sink import Sink
from tests.unit.whisperer.delivery.dispatches import dispatch

MAX_BATCHES = 100_000


def main(path: str, name: str, size: int) -> None:
    sink = Sink(path)
    for number in range(MAX_BATCHES):
        batch = [dispatch(decision_id=f"dec_{name}_{number}_{index}") for index in range(size)]
        for receipt in sink.accept(batch, number):
            sys.stdout.write(receipt.send_key + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))

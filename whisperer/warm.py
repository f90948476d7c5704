"""Compile every kernel now (``python -m whisperer.warm``), so that no first request or first start waits for it.

Numba stores compiled kernels next to the sources, or in the user's cache folder if it cannot write there, and
recompiles when a source, numba or the CPU changes. `make install` runs this; processes call the :func:`warm` of the
part they use, which then only loads.
"""

from __future__ import annotations

from whisperer.events import warm as events
from whisperer.shard import warm as shard


def warm() -> None:
    """Compile or load the kernels of all parts."""
    events.warm()
    shard.warm()


if __name__ == "__main__":
    warm()

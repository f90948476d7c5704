"""``python -m whisperer.warm``: compile every kernel now, so that no first request and no first start waits for it.

Numba keeps what it compiled beside the sources, or in the user's cache folder where those cannot be written, and
compiles anew when a source, numba or the CPU changes. `make install` runs this; processes call :func:`warm` of the part
they use, which then only loads.
"""

from __future__ import annotations

from whisperer.events import warm as events
from whisperer.shard import warm as shard


def warm() -> None:
    events.warm()
    shard.warm()


if __name__ == "__main__":
    warm()

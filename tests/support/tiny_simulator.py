"""A simulator for tests of the launcher: runs until it is stopped."""

from __future__ import annotations

import signal

if __name__ == "__main__":
    signal.pause()

"""A drain program for tests of the launcher: leaves a note in the data folder."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    record = Path(sys.argv[sys.argv.index("--installation") + 1])
    (record.parent / "drained").touch()

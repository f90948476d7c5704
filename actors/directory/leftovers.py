"""Delete what a removed shard leaves behind: nobody reads it again, and it has users in it.

A shard is removed when its partitions are at home elsewhere and the warehouse has all that it journaled. Guarantees: it
is harmless to delete twice, or what is not there. Leaves to others: when.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from actors.files.blobs import BlobFolder
from actors.installation import Installation
from actors.journal import Rules, delete_journal


def delete(installation: Installation, shard: int) -> None:
    """Delete the journal, the snapshots and their drafts. Raises OSError, UnavailableError."""
    name = f"shard-{shard:04d}"
    BlobFolder(installation.settings.snapshots.uri).delete_folder(name)
    shutil.rmtree(Path(installation.data_dir) / "spool" / name, ignore_errors=True)
    journal = installation.settings.journal
    delete_journal(journal.url, shard, rules=Rules.of(journal))

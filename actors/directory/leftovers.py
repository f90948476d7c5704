"""Delete what a removed shard leaves behind: nobody reads it again, and it has users in it.

A shard is removed when its partitions are at home elsewhere and the warehouse has all that it journaled. Guarantees: it
is harmless to delete twice, or what is not there. Leaves to others: when; and the stream of a journal in Redis, of
which the shard's last snapshot left only what came after it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from urllib.parse import unquote, urlsplit

from actors.files.blobs import BlobFolder
from actors.installation import Installation


def delete(installation: Installation, shard: int) -> None:
    """Delete the journal's files, the snapshots and their drafts."""
    name = f"shard-{shard:04d}"
    BlobFolder(installation.settings.snapshots.uri).delete_folder(name)
    shutil.rmtree(Path(installation.data_dir) / "spool" / name, ignore_errors=True)
    journal = urlsplit(installation.settings.journal.url)
    if journal.scheme == "file":
        shutil.rmtree(Path(unquote(journal.path)) / name, ignore_errors=True)

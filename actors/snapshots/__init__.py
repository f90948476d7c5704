"""Store snapshots: packs of chunks, what a snapshot consists of, and how long it is kept."""

"""Run one shard: its actor, the commit of records, recovery, housekeeping, moves and letters."""

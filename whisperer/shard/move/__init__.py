"""Move partitions between shards, and close shards."""

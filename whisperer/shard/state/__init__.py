"""Hold what a shard knows, below everything that changes it."""

"""Count and expose: what this replica did, what all replicas and shards report, the Prometheus text."""

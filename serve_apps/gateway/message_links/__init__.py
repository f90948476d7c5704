"""Serve the addresses in messages, and bring what readers did to the shards."""

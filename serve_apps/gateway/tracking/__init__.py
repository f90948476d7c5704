"""Take in events over HTTP: from the socket to the shards, within limits."""

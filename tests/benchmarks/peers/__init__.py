"""What one would build otherwise: programs that take the same bodies, for `bench_peers`."""

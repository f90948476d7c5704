"""Keep users apart and together: identity, erasure, letters passed on, scores."""

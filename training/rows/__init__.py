"""Gather rows to learn from, point in time: decisions as they were logged, and users as they stood at past cutoffs."""

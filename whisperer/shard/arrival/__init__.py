"""Bring events to their users: number them, take them in turns, announce what changed."""

"""Read one event exactly, which defines what becomes of it."""

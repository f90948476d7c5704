"""Read bodies fast: compiled functions over bytes, held to what :mod:`whisperer.events.exact` defines."""

"""Limit what one event may be; both ways of reading a body, exact and fast, keep to these."""

from __future__ import annotations

MAX_EVENT_BYTES = 32 * 1024  # of the client's text, and of the event after merging
MAX_MESSAGE_ID_CHARS = 99
MAX_NAME_CHARS = 200

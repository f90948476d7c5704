"""People who read messages."""

from __future__ import annotations

PHONE = {
    "User-Agent": "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile"
}
"""What a person's requests say of themselves; httpx's own are a program's."""

"""Provides three ways to send a first event, ready to be pasted.

Each snippet contains this installation's address and a write key, and is a complete program: the end-to-end test runs
them unchanged. An address or a key that could break out of the surrounding code is replaced with a placeholder, because
the address may come from a Host header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADDRESS = re.compile(r"https?://(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?(?:/[A-Za-z0-9._~/-]*)?", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]{1,200}", re.ASCII)

ADDRESS_PLACEHOLDER = "http://127.0.0.1:8000"
KEY_PLACEHOLDER = "YOUR_WRITE_KEY"

_CURL = """\
curl {url}/v1/track \\
  -u {key}: \\
  -H 'Content-Type: application/json' -d '{{
    "userId": "ada",
    "event": "Report Exported",
    "properties": {{"format": "pdf"}}
  }}'
"""

_PYTHON = """\
# pip install segment-analytics-python
import segment.analytics as analytics

analytics.write_key = "{key}"
analytics.host = "{url}"

analytics.track("ada", "Report Exported", {{"format": "pdf"}})
analytics.flush()
"""

_JAVASCRIPT = """\
// npm install @segment/analytics-node
import {{ Analytics }} from "@segment/analytics-node";

const analytics = new Analytics({{
  writeKey: "{key}",
  host: "{url}",
}});
analytics.track({{
  userId: "ada",
  event: "Report Exported",
  properties: {{ format: "pdf" }},
}});
await analytics.closeAndFlush();
"""


@dataclass(frozen=True, slots=True)
class Snippet:
    id: str
    title: str
    code: str


def snippets(base_url: str, write_key: str | None) -> list[Snippet]:
    """Return snippets for curl, Python and JavaScript (an ES module for Node)."""
    address = base_url.rstrip("/")
    url = address if _ADDRESS.fullmatch(address) else ADDRESS_PLACEHOLDER
    key = write_key if write_key and _KEY.fullmatch(write_key) else KEY_PLACEHOLDER
    return [
        Snippet(id, title, code.format(url=url, key=key).rstrip("\n"))
        for id, title, code in (
            ("curl", "curl", _CURL),
            ("python", "Python", _PYTHON),
            ("javascript", "JavaScript", _JAVASCRIPT),
        )
    ]

"""Send your first events with nothing but Python's standard library.

WRITE_KEY=wk_... python examples/send_events.py
URL=http://127.0.0.1:8000 is the default. Any Segment library works as well, pointed at the same URL.
"""

import base64
import json
import os
import urllib.request
import uuid
from datetime import UTC, datetime

URL = os.environ.get("URL", "http://127.0.0.1:8000")
WRITE_KEY = os.environ["WRITE_KEY"]


def send(call: str, **event: object) -> dict:
    """One call of the Tracking API. The messageId makes it safe to send the same event again."""
    event = {"messageId": str(uuid.uuid4()), "timestamp": datetime.now(UTC).isoformat(), **event}
    request = urllib.request.Request(  # noqa: S310
        f"{URL}/v1/{call}",
        data=json.dumps(event).encode(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(f"{WRITE_KEY}:".encode()).decode(),
        },
    )
    with urllib.request.urlopen(request, timeout=10) as response:  # noqa: S310
        return json.load(response)


send("identify", userId="ada", traits={"email": "ada@example.com", "plan": "team"})
print(json.dumps(send("track", userId="ada", event="Report Exported", properties={"format": "pdf", "pages": 12})))

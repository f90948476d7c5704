"""Signs requests to Amazon (Signature Version 4) with a channel's access key.

The signature is botocore's, over what is sent and the time of our clock. Importing it takes 55 ms, so it is left to
the first channel that needs it. botocore finds no credentials of its own here: it is given the channel's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

CODE = re.compile(r"[A-Z][A-Za-z]{1,63}")
"""Of an error, as Amazon's models name them."""


class Signer:
    """The access key of one channel, for one service."""

    def __init__(self, config: dict[str, Any], service: str) -> None:
        from botocore.auth import SigV4Auth
        from botocore.awsrequest import AWSRequest
        from botocore.credentials import Credentials

        class Auth(SigV4Auth):  # type: ignore[misc]
            def add_auth_at(self, request: Any, at: datetime) -> None:
                """Do as `add_auth`, which looks at the clock by itself."""
                request.context["timestamp"] = at.strftime("%Y%m%dT%H%M%SZ")
                request.headers["X-Amz-Date"] = request.context["timestamp"]
                string_to_sign = self.string_to_sign(request, self.canonical_request(request))
                self._inject_signature_to_request(request, self.signature(string_to_sign, request))

        credentials = Credentials(config["access_key_id"], config["secret_access_key"])
        self._auth = Auth(credentials, service, config["region"])
        self._request = AWSRequest

    def headers(self, url: httpx.URL, body: bytes, headers: Mapping[str, str], now: int) -> dict[str, str]:
        """Return the headers of a POST with its signature; ``now`` is ms UTC."""
        request = self._request(method="POST", url=str(url), data=body, headers=dict(headers))
        self._auth.add_auth_at(request, datetime.fromtimestamp(now // 1000, UTC))
        return dict(request.headers.items())

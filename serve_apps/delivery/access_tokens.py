"""Keeps a Google service account's access token (RFC 7523: a signed assertion for a token of about an hour).

One request at a time asks for a token, whoever waits for it; a token is replaced before it expires. The request goes
where the channel's own requests may go. Importing the signer takes 45 ms, so it is left to the first channel that needs
it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx

from serve_apps.delivery.answers import document, form_of
from serve_apps.delivery.exchange import Exchange, NoAnswer

AUDIENCE = "https://oauth2.googleapis.com/token"
"""What an assertion is for, wherever it is posted."""
ASSERTION_S = 3_600
RENEW_BEFORE_S = 300

_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_TOKEN = re.compile(r"[!-~]{1,4096}")
_CODE = re.compile(r"[a-z_]{1,40}")


class AccessTokens:
    """The tokens of one service account. Use from one event loop.

    Parameters
    ----------
    credentials : the service account's JSON
    clock : gives ms UTC
    """

    def __init__(
        self, exchange: Exchange, url: str, credentials: dict[str, str], scope: str, clock: Callable[[], int]
    ) -> None:
        from google.auth.crypt import RSASigner

        self._exchange = exchange
        self._url = httpx.URL(url)
        self._signer = RSASigner.from_service_account_info(credentials)  # type: ignore[no-untyped-call]
        self._claims = {"iss": credentials["client_email"], "aud": AUDIENCE, "scope": scope}
        self._clock = clock
        self._token = ""
        self._renew_at = 0
        self._asking: asyncio.Task[str | NoAnswer] | None = None

    async def token(self) -> str | NoAnswer:
        """Return a token that is good for a while, or why there is none."""
        if self._token and self._clock() < self._renew_at:
            return self._token
        if self._asking is None or self._asking.done():
            self._asking = asyncio.ensure_future(self._ask())
        return await asyncio.shield(self._asking)

    def forget(self, token: str) -> None:
        """Ask for another token next time, since this one was refused."""
        if token == self._token:
            self._token = ""

    async def aclose(self) -> None:
        if self._asking is not None:
            self._asking.cancel()

    async def _ask(self) -> str | NoAnswer:
        now = self._clock()
        body = urlencode({"grant_type": _GRANT, "assertion": self._assertion(now // 1000)}).encode()
        answer = await self._exchange.ask(
            self._url, body, {"content-type": "application/x-www-form-urlencoded", "accept": "application/json"}
        )
        if isinstance(answer, NoAnswer):
            return answer
        said = document(answer)
        if not answer.is_success:
            code = form_of(said.get("error"), _CODE)
            return NoAnswer(f"the token's address answered {answer.status}{' ' if code else ''}{code}")
        token, lives_s = form_of(said.get("access_token"), _TOKEN), said.get("expires_in")
        if not token or isinstance(lives_s, bool) or not isinstance(lives_s, int) or not 0 < lives_s <= 86_400:
            return NoAnswer("the token's address answered without a token")
        self._token = token
        self._renew_at = now + 1000 * (lives_s - min(RENEW_BEFORE_S, lives_s // 2))
        return token

    def _assertion(self, now_s: int) -> bytes:
        from google.auth import jwt

        claims: dict[str, Any] = self._claims | {"iat": now_s, "exp": now_s + ASSERTION_S}
        signed: bytes = jwt.encode(self._signer, claims)  # type: ignore[no-untyped-call]
        return signed

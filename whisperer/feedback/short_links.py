"""Make short links for messages that are billed by length: a code, and what it stands for, to be kept elsewhere.

A code has 60 bits, derived by a key from the message and the target: rendering a message again, after a crash too,
gives the same codes, so that a row that was kept and never sent is the worst that a crash leaves. With n links kept,
the next one meets another's code with probability n / 2**60, below one in a billion for a billion links; whoever keeps
them then says so, and the message gets the long link. A guess finds a link with the same probability, and what it finds
is where one message's link leads. Leaves keeping to others, who do it before the message goes out.
"""

from __future__ import annotations

import hashlib
import re

from whisperer.feedback.links import (
    CLICK,
    LIFETIME_MS,
    Link,
    LinkError,
    LinkSigner,
    LinkUnfitError,
    SignedLinks,
    web_address,
)
from whisperer.ids import DecisionId, TenantId, UserKey

PATH = "/l/"
CODE = re.compile(r"[0-9a-hjkmnp-tv-z]{12}")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_CHARS = 12


class CodedLinks(SignedLinks):
    """Make the links of one message, those that are clicked short; ``made``: code -> token of those made so far."""

    def __init__(
        self,
        signer: LinkSigner,
        base_url: str,
        *,
        secret: bytes,
        tenant: TenantId,
        user_key: UserKey,
        decision_id: DecisionId,
        channel: str,
        purpose: str,
        now: int,
    ) -> None:
        super().__init__(
            signer,
            base_url,
            tenant=tenant,
            user_key=user_key,
            decision_id=decision_id,
            channel=channel,
            purpose=purpose,
            now=now,
        )
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"short links").digest()
        self.made: dict[str, str] = {}

    def click(self, url: str) -> str:
        """Return a short link through us to ``url``; ``url`` itself if no link can be made."""
        target = web_address(url)
        if target is None:
            return url
        link = Link(CLICK, *self._said, target, self._now)
        try:
            token = self._signer.sign(link)
        except LinkUnfitError:
            return url
        code = code_of(self._key, link)
        self.made[code] = token
        return f"{self._base_url}{PATH}{code}"


def code_of(key: bytes, link: Link) -> str:
    """Return the code of a link: the same for the same message and target, whenever it is made."""
    said = "\x00".join((link.tenant, link.decision_id, link.user_key, link.channel, link.url))
    number = int.from_bytes(hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=8, key=key).digest())
    return "".join(_ALPHABET[(number >> (5 * place)) & 31] for place in range(_CHARS))


def is_same(signer: LinkSigner, token: str, kept: str, now: int) -> bool:
    """Return whether the token that was kept says what another says, apart from when."""
    try:
        one, other = signer.read(token, now), signer.read(kept, now)
    except LinkError:
        return False
    return (one.tenant, one.user_key, one.decision_id, one.url) == (
        other.tenant,
        other.user_key,
        other.decision_id,
        other.url,
    )


def expires_at(now: int) -> int:
    """Return when a link of ``now`` expires, ms UTC."""
    return now + LIFETIME_MS[CLICK]

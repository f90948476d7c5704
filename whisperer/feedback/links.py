"""Sign the links in messages and read them back: what each says, and that only we can have made it.

A token is its version and what the link says, sealed (:mod:`.sealing`), in characters that an address may contain. It
has only one spelling, a token changed anywhere is refused, and whoever has one can read nothing in it. A click's target
is in the token and nowhere else, so nobody can make our address lead to a target of their own. A token is valid until
it expires; it holds what is needed to journal the outcome, and nothing is stored for it.

Tokens of version 1, which earlier releases put into messages, are still read: their content is signed, but not hidden.

    LinkError
    ├── LinkForgedError   400: not a token of ours, or not of this kind
    ├── LinkExpiredError  410
    └── LinkUnfitError    400: no link can be made for this target or user
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from urllib.parse import quote, urlsplit

import msgspec

from whisperer.errors import InvariantError, RequestError
from whisperer.feedback.sealing import Seal, sealed_chars
from whisperer.ids import DecisionId, TenantId, UserKey

OPEN, CLICK, UNSUBSCRIBE = "open", "click", "unsubscribe"
KINDS = (OPEN, CLICK, UNSUBSCRIBE)
PATHS = {OPEN: "/m/o/", CLICK: "/m/c/", UNSUBSCRIBE: "/m/u/"}

_DAY_MS = 86_400_000
LIFETIME_MS = {OPEN: 400 * _DAY_MS, CLICK: 400 * _DAY_MS, UNSUBSCRIBE: 5 * 365 * _DAY_MS}

MAX_URL_CHARS = 2_000
MAX_TOKEN_CHARS = 6_000  # proxies and browsers accept addresses of 8,000
_VERSION, _SIGNED_VERSION = "2", "1"
_TAG_BYTES = 16  # 128 bits of the HMAC of version 1
_TAG_CHARS = 22
_CONTEXT = b"user-whisperer link\x00"  # keeps anything else the secret may sign distinct from links
_SAFE_IN_URL = "!#$%&'()*+,-./:;=?@[]_~^`{|}"
"""Characters that a browser leaves unchanged in some part of an address. Braces it encodes only in the path: that is
left to it, so that it opens exactly the address that it would have opened without us."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?")


class LinkError(RequestError):
    """Say that a link cannot be followed, or made."""

    code = "link_forged"


class LinkForgedError(LinkError):
    pass


class LinkExpiredError(LinkError):
    code = "link_expired"
    status = 410


class LinkUnfitError(LinkError):
    code = "link_unfit"


class Link(msgspec.Struct, array_like=True, frozen=True):
    """Hold what one link says. ``url`` is where a click leads, "" for the other kinds; ``issued_at`` is ms UTC."""

    kind: str
    tenant: TenantId
    user_key: UserKey
    decision_id: DecisionId
    channel: str
    purpose: str
    url: str
    issued_at: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Link).decode


class LinkSigner:
    """Sign links and read them back. ``secret`` is the installation's, of at least ``sealing.MIN_SECRET_BYTES``."""

    def __init__(self, secret: bytes) -> None:
        self._seal = Seal(secret, "links")
        self._secret = secret

    def sign(self, link: Link) -> str:
        """Return the link's token. Raises LinkUnfitError if the target is no web address or the token is too long."""
        if link.kind not in KINDS or (link.kind == CLICK) != bool(link.url):
            raise InvariantError(f"a link of kind {link.kind!r} with target {link.url[:40]!r}")
        if link.kind == CLICK and web_address(link.url) != link.url:
            raise LinkUnfitError("a click leads to an http or https address, written in ASCII")
        said = _encode(link)
        if sealed_chars(len(said)) + len(_VERSION) > MAX_TOKEN_CHARS:
            raise LinkUnfitError(f"a link's token has over {MAX_TOKEN_CHARS:,} characters")
        return _VERSION + self._seal.close(said)

    def read(self, token: str, now_ms: int) -> Link:
        """Check a token and return what it says. Raises LinkForgedError or LinkExpiredError."""
        said = self._opened(token) if len(token) <= MAX_TOKEN_CHARS and token.isascii() else None
        if said is None:
            raise LinkForgedError("this link was not made here, or was cut off on its way")
        try:
            link = _decode(said)
        except (msgspec.MsgspecError, ValueError) as error:
            raise LinkForgedError("this link was made by a version that this one does not know") from error
        if now_ms > link.issued_at + LIFETIME_MS.get(link.kind, 0):
            raise LinkExpiredError("this link has expired")
        if link.kind == CLICK and web_address(link.url) != link.url:
            raise LinkForgedError("this link does not lead to a web address")
        return link

    def _opened(self, token: str) -> bytes | None:
        """Return what a token of ours says, None of any other."""
        if token.startswith(_VERSION):
            return self._seal.open(token[len(_VERSION) :])
        said, tag = token[:-_TAG_CHARS], token[-_TAG_CHARS:]
        # The characters are compared, not the bytes they encode: in base64 most of these have several spellings.
        if not said.startswith(_SIGNED_VERSION) or not hmac.compare_digest(self._tag(said), tag):
            return None
        try:
            return _bytes(said[len(_SIGNED_VERSION) :])
        except (binascii.Error, ValueError):
            return None

    def _tag(self, said: str) -> str:
        return _text(hmac.digest(self._secret, _CONTEXT + said.encode(), "sha256")[:_TAG_BYTES])


class SignedLinks:
    """Make the signed links of one message: a :class:`whisperer.content.links.LinkMaker`."""

    def __init__(
        self,
        signer: LinkSigner,
        base_url: str,
        *,
        tenant: TenantId,
        user_key: UserKey,
        decision_id: DecisionId,
        channel: str,
        purpose: str,
        now: int,
    ) -> None:
        self._signer = signer
        self._base_url = base_url.rstrip("/")
        self._said = (tenant, user_key, decision_id, channel, purpose)
        self._now = now

    def click(self, url: str) -> str:
        """Return a link through us to ``url``; ``url`` itself if it is too long or not a plain web address."""
        target = web_address(url)
        try:
            return url if target is None else self._address(CLICK, target)
        except LinkUnfitError:
            return url

    def open(self) -> str:
        """Return the address of the image that reports an open."""
        return self._address(OPEN)

    def unsubscribe(self) -> str:
        """Return the address that ends messages of this channel and purpose."""
        return self._address(UNSUBSCRIBE)

    def _address(self, kind: str, url: str = "") -> str:
        token = self._signer.sign(Link(kind, *self._said, url, self._now))
        return f"{self._base_url}{PATHS[kind]}{token}"


def web_address(url: str) -> str | None:
    """Return ``url`` as a Location header may carry it, or None if it is not a plain web address.

    Non-ASCII characters, spaces and ``"<>`` are percent-encoded. A user name before the host is refused, as is a
    backslash: both make a reader, or a browser, see a different host from the real one.

    >>> web_address("https://a.example/ä?q=1"), web_address("javascript:alert(1)"), web_address("https://a@b.example")
    ('https://a.example/%C3%A4?q=1', None, None)
    """
    try:
        written = quote(url, safe=_SAFE_IN_URL)
        parts = urlsplit(written)
        host, _ = parts.hostname or "", parts.port
    except (ValueError, UnicodeError):
        return None
    plain = parts.scheme in ("http", "https") and parts.username is None and "\\" not in url
    return written if plain and _HOST.fullmatch(host) and len(written) <= MAX_URL_CHARS else None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))

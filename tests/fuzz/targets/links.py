"""A link's token, a web address, an HTML text of any bytes: what is not ours is refused, what is leads where it said."""

from __future__ import annotations

from collections.abc import Hashable
from urllib.parse import urlsplit

from whisperer.feedback.links import CLICK, Link, LinkForgedError, LinkSigner, SignedLinks, web_address

WORDS = (
    "https://",
    "http://",
    "//",
    "@",
    "\\",
    "%2e",
    "%00",
    ":80",
    "[::1]",
    "xn--",
    "\u3002",
    "\t",
    "\n",
    "#",
    "?",
    "javascript:",
    "user:pw@",
)
_SIGNER = LinkSigner(b"0" * 32)
_NOW = 1_795_395_322_700
_LINK = Link(CLICK, "tn_1", "u:ada", "dec_1", "email", "marketing", "https://example.com/", _NOW)


def seeds() -> list[bytes]:
    token = _SIGNER.sign(_LINK).encode()
    urls = [
        "https://example.com/a?b=c#d",
        "https://example.com/ä ö",
        "HTTP://EXAMPLE.com",
        "https://a.example:8443/%zz",
    ]
    return [b"\x00" + token, b"\x00" + token[:-1], *(b"\x01" + url.encode() for url in urls)]


def attack(data: bytes) -> Hashable:
    if not data:
        return None
    text = data[1:].decode("utf-8", "replace")
    if data[0] % 2 == 0:
        try:
            link = _SIGNER.read(text, _NOW)
        except LinkForgedError as error:
            return error.message
        assert link == _LINK  # nothing else was ever signed
        return "ours"
    target = web_address(text)
    if target is None:
        return "no address"
    parts = urlsplit(target)
    assert parts.scheme in ("http", "https")
    assert target.isascii()
    assert not set(target) & set(' \t\r\n\\"<>')
    assert web_address(target) == target
    links = SignedLinks(_SIGNER, "https://go.example", tenant="t", user_key="u:a", decision_id="d", channel="email", purpose="m", now=_NOW)  # fmt: skip
    made = links.click(text)
    if made.startswith("https://go.example/m/c/"):
        assert _SIGNER.read(made.rpartition("/")[2], _NOW).url == target
    return parts.scheme, bool(parts.query), bool(parts.fragment), len(parts.netloc) > 20

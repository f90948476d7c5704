"""Tell programs that open and follow what is in a message from the people it was sent to, as far as one request shows.

Mail systems follow links to scan them, and fetch pictures before, or without, anybody reading. Such an outcome is
recorded as automatic (``auto_opened``, ``auto_clicked``): it is not counted as an opening or a click, features of
contact do not see it, and nothing is learned from it. What a request shows is decided here, by :data:`AGENTS` and
``networks.toml``; clicks on several links within a second are told where they meet, in the shard
(:mod:`whisperer.shard.decision.outcomes`).

A reader taken for a program costs one observation, a program taken for a reader a wrong one; where it cannot be told,
as behind the picture proxies of Apple and Google, it is automatic.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from functools import cache, lru_cache
from importlib.resources import files
from typing import Literal

from whisperer.feedback.outcome import OutcomeKind

MAX_AGENT_CHARS = 1_000

Deed = Literal["open", "click"]
_BOTH: tuple[Deed, ...] = ("open", "click")

AGENTS: dict[str, tuple[Deed, ...]] = {
    r"^$|^Mozilla/5\.0$": _BOTH,
    r"GoogleImageProxy|YahooMailProxy": ("open",),
    r"(?<!cu)bot\b|crawl|spider|slurp|preview|fetcher|prefetch|scanner|monitor": _BOTH,
    r"headless|phantomjs|puppeteer|playwright|selenium": _BOTH,
    r"^(curl|wget|python|go-http-client|java|okhttp|ruby|perl|libwww|php|axios|node|apache-httpclient|httpie)\b": _BOTH,
    r"proofpoint|urldefense|mimecast|barracuda|ironport|fireeye|trellix|trend ?micro|forcepoint|sophos": _BOTH,
    r"symantec|messagelabs|zscaler|safelinks|microsoft office existence|msoffice protocol discovery": _BOTH,
    r"facebookexternalhit|whatsapp/|skypeuripreview|embedly|virustotal|urlscan|safebrowsing": _BOTH,
}
"""Pattern of a user agent, in any case -> what it does that no reader did.

"Mozilla/5.0" and no more is Apple's Mail Privacy Protection, which fetches every picture; Google's and Yahoo's proxies
fetch for readers and ahead of them alike."""

_PATTERNS = tuple((re.compile(pattern, re.I), what) for pattern, what in AGENTS.items())

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def outcome_of(what: Deed, method: str, agent: str | None, address: str | None) -> OutcomeKind:
    """Return what a request for a message's picture, or along one of its links, is recorded as.

    Parameters
    ----------
    agent : the User-Agent header, None if there is none
    address : the client's, None if it is not known

    Examples
    --------
    >>> str(outcome_of("click", "GET", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)", "192.0.2.1"))
    'clicked'
    >>> str(outcome_of("click", "HEAD", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X)", "192.0.2.1"))
    'auto_clicked'
    """
    is_program = method != "GET" or _is_agent(what, (agent or "")[:MAX_AGENT_CHARS].strip()) or _is_known(what, address)
    if what == "open":
        return OutcomeKind.AUTO_OPENED if is_program else OutcomeKind.OPENED
    return OutcomeKind.AUTO_CLICKED if is_program else OutcomeKind.CLICKED


@lru_cache(maxsize=4_096)
def _is_agent(what: Deed, agent: str) -> bool:
    return any(what in affected and pattern.search(agent) for pattern, affected in _PATTERNS)


def _is_known(what: str, address: str | None) -> bool:
    if address is None:
        return False
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(
        found in network for network, affected in networks() if network.version == found.version and what in affected
    )


@cache
def networks() -> tuple[tuple[Network, tuple[str, ...]], ...]:
    """Return the networks of ``networks.toml``, each with what comes from it that no reader did."""
    listed = tomllib.loads((files("whisperer.feedback") / "networks.toml").read_text("utf-8"))
    return tuple(
        (ipaddress.ip_network(network), tuple(entry["affects"]))
        for entry in listed["of"]
        for network in entry["networks"]
    )

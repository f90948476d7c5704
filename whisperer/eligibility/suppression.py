"""Stop sending to addresses that bounced or complained, whatever the user agreed to.

Only a hash of the address is kept, so that the stop outlives the address: it holds after the user was erased, and when
the same address is stated again in another spelling. The hash is a pseudonym, not a secret: anyone who guesses an
address can confirm it.
"""

from __future__ import annotations

import hashlib
import unicodedata
from bisect import bisect_left

from whisperer.delivery.addresses import usable_address
from whisperer.eligibility.standing import Standing, Suppression
from whisperer.vocabulary.channels import CHANNELS


def suppress(standing: Standing, channel: str, address: str, at: int, reason: str) -> bool:
    """Suppress ``address`` for good; return False if it was suppressed before.

    The earliest stop (``at``, ms UTC) is kept, as it gives the original reason.
    """
    return add(standing.suppressed, channel, Suppression(at, reason, address_hash(channel, address)))


def add(suppressed: dict[str, list[Suppression]], channel: str, stop: Suppression) -> bool:
    """Insert ``stop`` among the channel's, in order of hash; return False if its address was suppressed before."""
    stops = suppressed.setdefault(channel, [])
    place = bisect_left(stops, stop.address_hash, key=lambda held: held.address_hash)
    if place == len(stops) or stops[place].address_hash != stop.address_hash:
        stops.insert(place, stop)
        return True
    held = stops[place]
    if (stop.at, stop.reason) < (held.at, held.reason):
        stops[place] = stop
    return False


def is_suppressed(standing: Standing, channel: str, address: str) -> bool:
    """Return whether an address is suppressed, in any spelling."""
    stops = standing.suppressed.get(channel)
    if not stops:
        return False
    wanted = address_hash(channel, address)
    return any(stop.address_hash == wanted for stop in stops)


def address_hash(channel: str, address: str) -> bytes:
    """Hash an address to 16 bytes, the same for every spelling that reaches the same person.

    In an e-mail address neither case nor the domain's script matters: domains have no case, and providers that
    distinguish ``Ada@`` from ``ada@`` are too rare to risk writing again to someone who complained. In a phone number
    punctuation does not matter. Anything else is taken as it is. An unusable address is hashed too, and suppresses
    nothing else.
    """
    used = usable_address(channel, address) or unicodedata.normalize("NFC", address.strip())
    known = CHANNELS.get(channel)
    if known is not None and known.address.ignores_case:
        used = used.casefold()
    text = f"{channel}\x1f{used}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16, person=b"address").digest()

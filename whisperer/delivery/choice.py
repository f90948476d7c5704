"""Choose which account of a channel carries a message, and which come after it.

Guarantees: the choice follows from the send key, the accounts' names and their weights alone, so that who is asked
again chooses the same; each account comes first for the share of messages that its weight has of all; a weight that
changes moves only the messages that it has to. Accounts without a weight come last, in the order in which they stand.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

from whisperer.delivery.plan import Account
from whisperer.ids import SendKey


def in_order(accounts: Sequence[Account], send_key: SendKey) -> list[Account]:
    """Return the accounts, the one that carries the message first: weighted rendezvous hashing.

    >>> [a.name for a in in_order([Account("ses", name="a", weight=0), Account("ses", name="b", weight=1)], "snd_1")]
    ['b', 'a']
    """
    carrying = [account for account in accounts if account.weight > 0]
    standing_by = [account for account in accounts if account.weight <= 0]
    return sorted(carrying, key=lambda account: _lot(account, send_key)) + standing_by


def _lot(account: Account, send_key: SendKey) -> float:
    """Return an exponential variate whose rate is the account's weight; the smallest wins."""
    text = f"{send_key}\x1f{account.name}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, person=b"account").digest()
    share = ((int.from_bytes(digest, "big") >> 11) + 1) / (1 << 53)  # in (0, 1]
    return -math.log(share) / account.weight

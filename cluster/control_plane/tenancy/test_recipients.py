"""Reads a tenant's test recipients: addresses, by channel, to which templates may be sent to be looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whisperer.delivery.addresses import usable_address
from whisperer.errors import Problem
from whisperer.vocabulary.channels import CHANNELS

MOST_OF_A_CHANNEL = 20
MAX_ADDRESS_CHARS = 4_096
CODE = "invalid_settings"

Recipients = dict[str, list[str]]
"""Channel -> addresses as they are used, each once."""


def read_recipients(stated: Mapping[str, Sequence[str]]) -> tuple[Recipients, list[Problem]]:
    """Return the recipients in the form in which they are used, and everything that is wrong with them."""
    found: Recipients = {}
    problems: list[Problem] = []
    for channel, addresses in stated.items():
        at = f"/test_recipients/{channel[:40]}"
        if channel not in CHANNELS:
            problems.append(Problem(pointer=at, code=CODE, message=f"channels are {', '.join(CHANNELS)}"))
            continue
        if len(addresses) > MOST_OF_A_CHANNEL:
            message = f"{len(addresses)} addresses; at most {MOST_OF_A_CHANNEL} of a channel"
            problems.append(Problem(pointer=at, code=CODE, message=message))
        for place, address in enumerate(addresses[:MOST_OF_A_CHANNEL]):
            used = usable_address(channel, address)
            if used is None:
                message = f"{address[:80]!r} is no {CHANNELS[channel].address.noun}"
                problems.append(Problem(pointer=f"{at}/{place}", code=CODE, message=message))
            elif used not in found.setdefault(channel, []):
                found[channel].append(used)
    return {channel: addresses for channel, addresses in found.items() if addresses}, problems

"""Check a tenant's channels, and which provider carries each, before they are stored.

Guarantees: whatever the input, either a complete configuration within every limit, defaults filled in, or a
``ChannelError`` with every problem; what :func:`redacted` returns may be shown to anybody who may see the channel.
Leaves what a configuration contains to its provider (:mod:`whisperer.delivery.providers`), and to sending whether a
host answers, and whether a URL leads to an address that we may call.
"""

from __future__ import annotations

from typing import Any

import msgspec

from whisperer.delivery import plan as plans
from whisperer.delivery.callback_fields import take_callback_fields
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.plan import Plan
from whisperer.delivery.providers import HIDDEN, PROVIDERS
from whisperer.delivery.providers.reading import ConfigReader
from whisperer.errors import Problem
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.providers import UNSET


def parse_channel(channel: object, provider: object, config: object) -> dict[str, Any]:
    """Check a channel as a caller wants it and return the whole configuration, defaults filled in.

    Raises
    ------
    ChannelError : with every problem found

    Examples
    --------
    >>> parse_channel("email", "smtp", {"host": "mail.example.com", "sender": "Ada <ada@example.com>"})["port"]
    587
    """
    spec = PROVIDERS.get(provider) if isinstance(provider, str) else None
    common = () if spec is None else spec.common_fields
    reader = ConfigReader(common)
    known = isinstance(channel, str) and channel in CHANNELS
    if not known:
        reader.note("/channel", "unknown_channel", f"a channel is one of {', '.join(CHANNELS)}")
    if spec is None:
        reader.note("/provider", "unknown_provider", f"a provider is one of {', '.join(PROVIDERS)}")
    elif known and channel not in spec.channels:
        reader.note("/provider", "unknown_provider", f"{spec.name} carries {', '.join(spec.channels)} only")
    if not isinstance(config, dict):
        reader.note("/config", "invalid_type", "write the provider's configuration as an object")
    read: dict[str, Any] = {}
    if isinstance(config, dict):
        own = dict(config)
        if spec is not None:
            of_callbacks = take_callback_fields(reader, spec.name, own)
            read = spec.read(reader, own) | of_callbacks
        read |= {name: reader.flag(config, name) for name in common}
    if reader.problems:
        raise ChannelError(reader.problems)
    return read


def parse_plan(channel: object, provider: object, config: object, plan: object) -> tuple[dict[str, Any], Plan]:
    """Check a channel together with the rest of it; return the configuration and the plan, defaults filled in.

    ``plan`` is a :class:`Plan` or its document: name, weight, rates, warm_up, failover.

    Raises
    ------
    ChannelError : with every problem found
    """
    found: list[Problem] = []
    checked: dict[str, Any] = {}
    try:
        checked = parse_channel(channel, provider, config)
    except ChannelError as error:
        found += error.errors
    read = plan if isinstance(plan, Plan) else plans.read(plan)
    if not isinstance(read, Plan):
        raise ChannelError([*found, read])
    known = CHANNELS.get(channel) if isinstance(channel, str) else None
    if known is not None:
        found += plans.problems_of(provider, read, has_domains=known.address.kind == "email")
    failover = []
    for number, account in enumerate(read.failover[: plans.MAX_FAILOVER]):
        at = f"/failover/{number}"
        if account.provider == UNSET:
            message = f"{UNSET} sends nothing: it takes over from nobody"
            found.append({"pointer": f"{at}/provider", "code": "unknown_provider", "message": message})
            continue
        try:
            own = parse_channel(channel, account.provider, account.config) if known is not None else {}
        except ChannelError as error:
            found += [{**problem, "pointer": at + problem["pointer"]} for problem in error.errors]
        else:
            failover.append(
                msgspec.structs.replace(account, config=own, name=_own_name(account.name, account.provider))
            )
    if found:
        raise ChannelError(found)
    return checked, msgspec.structs.replace(read, name=_own_name(read.name, provider), failover=tuple(failover))


def _own_name(name: str, provider: object) -> str:
    """Return an account's name, "" if it is its provider's anyway."""
    return "" if name == provider else name


def redacted_plan(plan: Plan) -> Plan:
    """Return the plan as it may be shown: the further accounts' configurations as :func:`redacted` shows them."""
    failover = tuple(msgspec.structs.replace(one, config=redacted(one.provider, one.config)) for one in plan.failover)
    return msgspec.structs.replace(plan, failover=failover)


def redacted_document(plan: dict[str, Any]) -> dict[str, Any]:
    """Return a stored plan as it may be shown; nothing of one that a newer release stored."""
    found = plans.read(plan)
    return plans.written(redacted_plan(found)) if isinstance(found, Plan) else dict.fromkeys(plan, HIDDEN)


def redacted(provider: str, config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as it may be shown: without passwords, secrets and what a URL asks for.

    Of a provider of a newer release, of which nothing is known here, every value is hidden.

    >>> redacted("smtp", {"host": "mail.example.com", "password": "geheim"})
    {'host': 'mail.example.com', 'password': '…'}
    """
    spec = PROVIDERS.get(provider)
    if spec is None:
        return dict.fromkeys(config, HIDDEN)
    return {name: spec.shown[name](value) if name in spec.shown else value for name, value in config.items()}


def is_repeatable(channel: str) -> bool:
    """Return whether every provider that may carry a channel honours send keys, for when it is unknown which did."""
    return all(provider.takes_keys for provider in PROVIDERS.values() if channel in provider.channels)

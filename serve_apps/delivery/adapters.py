"""Registers the adapters: what sends for each provider that a channel can be given, by the provider's name.

The sink has none here: it is not made for a channel, all share it. What a provider needs and promises is in
:mod:`whisperer.delivery.providers`; a test keeps the two complete.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from serve_apps.delivery.admission import Admission, Admitting
from serve_apps.delivery.fcm import Fcm
from serve_apps.delivery.inbox import Inbox
from serve_apps.delivery.provider import Finder, Provider
from serve_apps.delivery.resending import Resending
from serve_apps.delivery.searching import Searching
from serve_apps.delivery.sendgrid import SendGrid
from serve_apps.delivery.ses import Ses
from serve_apps.delivery.smtp import Smtp
from serve_apps.delivery.sns import Sns
from serve_apps.delivery.ssrf import Guard, Network, Resolver
from serve_apps.delivery.twilio import Twilio
from serve_apps.delivery.webhook import Webhook
from serve_apps.delivery.webpush import WebPush
from whisperer.delivery.providers import PROVIDERS, RESEND_UNKNOWN

Clock = Callable[[], int]
"""Gives ms UTC."""
Adapter = Callable[[dict[str, Any], Clock, Guard], Provider]
"""(configuration as it was checked, clock, where connections may go) -> what sends."""

ADAPTERS: dict[str, Adapter] = {
    "smtp": Smtp,
    "sendgrid": SendGrid,
    "ses": Ses,
    "twilio": Twilio,
    "sns": Sns,
    "fcm": Fcm,
    "webpush": WebPush,
    "webhook": Webhook,
    "inbox": Inbox,
}


def maker(clock: Clock, open_networks: Sequence[Network]) -> Callable[[str, dict[str, Any]], Admitting]:
    """Return what makes an adapter with its connections, by its provider's name.

    It raises ValueError if the configuration is unusable.
    """
    resolve = Resolver()
    guards = {name: Guard(name, open_networks=open_networks, resolve=resolve) for name in ADAPTERS}

    def make(provider: str, config: dict[str, Any]) -> Admitting:
        if provider not in ADAPTERS:
            raise ValueError(f"there is no provider {provider!r}")
        inner = ADAPTERS[provider](config, clock, guards[provider])
        adapter: Admitting = Admission(inner)
        if PROVIDERS[provider].searches:  # before the tenant's choice, which is for what no search settles
            adapter = Searching(adapter, cast(Finder, inner), provider, clock)
        # A configuration stored by an older release does not say.
        return Resending(adapter) if config.get(RESEND_UNKNOWN, False) else adapter

    return make

"""Register what may carry a channel's messages: what each provider needs and promises, one module each.

How a provider sends is in :mod:`serve_apps.delivery.adapters`, under the same name. To add one, write its name into
:data:`whisperer.vocabulary.providers.ProviderName`, its module here, and its line below; CONTRIBUTING.md has the rest
of the recipe.
"""

from __future__ import annotations

from whisperer.delivery.providers.sink import SINK
from whisperer.delivery.providers.smtp import SMTP
from whisperer.delivery.providers.spec import HIDDEN, ProviderSpec
from whisperer.delivery.providers.webhook import WEBHOOK

__all__ = ["HIDDEN", "PROVIDERS", "ProviderSpec"]

PROVIDERS: dict[str, ProviderSpec] = {
    provider.name: provider
    for provider in (
        SINK,
        SMTP,
        WEBHOOK,
    )
}
"""Name -> provider, in the order in which people see them."""

"""Register what may carry a channel's messages: what each provider needs and promises, one module each.

How a provider sends is in :mod:`serve_apps.delivery.adapters`, under the same name. To add one, write its name into
:data:`whisperer.vocabulary.providers.ProviderName`, its module here, and its line below; CONTRIBUTING.md has the rest
of the recipe.
"""

from __future__ import annotations

from whisperer.delivery.providers.fcm import FCM
from whisperer.delivery.providers.inbox import INBOX
from whisperer.delivery.providers.reading import HIDDEN
from whisperer.delivery.providers.sendgrid import SENDGRID
from whisperer.delivery.providers.ses import SES
from whisperer.delivery.providers.sink import SINK
from whisperer.delivery.providers.smtp import SMTP
from whisperer.delivery.providers.sns import SNS
from whisperer.delivery.providers.spec import RESEND_UNKNOWN, ProviderSpec
from whisperer.delivery.providers.twilio import TWILIO
from whisperer.delivery.providers.webhook import WEBHOOK
from whisperer.delivery.providers.webpush import WEBPUSH

__all__ = ["HIDDEN", "PROVIDERS", "RESEND_UNKNOWN", "ProviderSpec"]

PROVIDERS: dict[str, ProviderSpec] = {
    provider.name: provider
    for provider in (
        SINK,
        SMTP,
        SENDGRID,
        SES,
        TWILIO,
        SNS,
        FCM,
        WEBPUSH,
        WEBHOOK,
        INBOX,
    )
}
"""Name -> provider, in the order in which people see them."""

"""Name what carries messages. What each can do is in :mod:`whisperer.delivery.providers`."""

from __future__ import annotations

from typing import Literal, get_args

ProviderName = Literal["sink", "smtp", "sendgrid", "ses", "twilio", "sns", "fcm", "webpush", "webhook", "inbox"]

PROVIDER_NAMES: tuple[ProviderName, ...] = get_args(ProviderName)

UNSET: ProviderName = "sink"
"""The provider of most channels for which none was set: it keeps what it gets, and reaches nobody. A channel's entry in
:mod:`whisperer.vocabulary.channels` has the last word."""

"""Verify and read what providers post about our messages: one module each, in one table.

A provider's name is that of :data:`whisperer.vocabulary.providers.ProviderName`. To add one, write its module and its
line below; the battery in ``tests/unit/registries/test_callbacks.py`` says what it has to withstand.
"""

from __future__ import annotations

from whisperer.feedback.callbacks.sendgrid import SENDGRID
from whisperer.feedback.callbacks.ses import SES
from whisperer.feedback.callbacks.smtp import SMTP
from whisperer.feedback.callbacks.sns import SNS
from whisperer.feedback.callbacks.spec import CallbackSpec
from whisperer.feedback.callbacks.twilio import TWILIO

__all__ = ["CALLBACKS"]

CALLBACKS: dict[str, CallbackSpec] = {spec.name: spec for spec in (SENDGRID, SES, SMTP, SNS, TWILIO)}
"""Provider -> how its callbacks are read."""

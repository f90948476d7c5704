"""Report everything that is wrong with a tenant's channel at once, or what is wrong with one message.

The place ``""`` is the whole configuration. No message quotes a password, a webhook secret or a URL's query.

Codes: ``unknown_channel``, ``unknown_provider``, ``unknown_field``, ``missing_field``, ``invalid_type``,
``out_of_range``, ``too_long``, ``too_many``, ``invalid_text``, ``invalid_host``, ``invalid_url``, ``invalid_address``,
``invalid_secret``, ``hidden_secret``, ``unencrypted_login``, ``conflicting_fields``, ``invalid_time``, ``duplicate``.
"""

from __future__ import annotations

from whisperer.errors import DeliveryError, ProblemsError


class ChannelError(ProblemsError):
    """Say that a channel cannot be used."""

    code = "invalid_channel"
    subject = "channel"


class UnsendableError(DeliveryError):
    """Say that one message cannot take the form that its channel needs; trying again would change nothing."""

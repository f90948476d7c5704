"""Name the channels that a message may go out on."""

from __future__ import annotations

EMAIL, SMS, PUSH, WEBHOOK = "email", "sms", "push", "webhook"
CHANNELS = (EMAIL, SMS, PUSH, WEBHOOK)

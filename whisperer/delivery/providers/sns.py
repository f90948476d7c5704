"""Read the configuration of Amazon SNS, which sends SMS to phone numbers.

{region, access_key_id, secret_access_key, sender_id, sms_type, base_url, timeout_s}
"""

from __future__ import annotations

import re
from typing import Any

from whisperer.delivery.providers import aws
from whisperer.delivery.providers.reading import ConfigReader
from whisperer.delivery.providers.spec import ProviderSpec

SMS_TYPES = ("", "Promotional", "Transactional")
"""As Amazon names them; "" leaves it to the account."""

_SENDER_ID = re.compile(r"(?=[A-Za-z0-9-]*[A-Za-z])[A-Za-z0-9](?:[A-Za-z0-9-]{0,9}[A-Za-z0-9])?")


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, (*aws.FIELDS, "sender_id", "sms_type"))
    told = "up to 11 letters, digits and hyphens, a letter among them, no hyphen at an end"
    return {
        **aws.read_account(reader, config, SNS, "sns"),
        "sender_id": reader.matching(config, "sender_id", _SENDER_ID, told, required=False) or "",
        "sms_type": reader.choice(config, "sms_type", SMS_TYPES, ""),
    }


SNS = ProviderSpec(
    "sns",
    channels=("sms",),
    takes_keys=False,  # a MessageDeduplicationId is for FIFO topics only
    read=_read,
    shown=aws.SHOWN,
    own_ports=(80, 443),
)

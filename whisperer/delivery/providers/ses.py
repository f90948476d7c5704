"""Read the configuration of Amazon SES, API version 2.

{region, access_key_id, secret_access_key, sender, reply_to, configuration_set, base_url, timeout_s}
"""

from __future__ import annotations

import re
from typing import Any

from whisperer.delivery.providers import aws
from whisperer.delivery.providers.reading import ConfigReader
from whisperer.delivery.providers.spec import ProviderSpec

_CONFIGURATION_SET = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, (*aws.FIELDS, "sender", "reply_to", "configuration_set"))
    told = "up to 64 letters, digits, '_' and '-'"
    return {
        **aws.read_account(reader, config, SES, "email"),
        "sender": reader.sender(config, "sender"),
        "reply_to": reader.sender(config, "reply_to", required=False) or "",
        "configuration_set": (
            reader.matching(config, "configuration_set", _CONFIGURATION_SET, told, required=False) or ""
        ),
    }


SES = ProviderSpec(
    "ses",
    channels=("email",),
    takes_keys=False,
    read=_read,
    shown=aws.SHOWN,
    own_ports=(80, 443),
)

"""Read the configuration of SendGrid's v3 API.

{api_key, sender, reply_to, base_url, timeout_s}
"""

from __future__ import annotations

from typing import Any

from whisperer.delivery.providers.endpoints import read_base_url, without_query
from whisperer.delivery.providers.reading import ConfigReader, hidden
from whisperer.delivery.providers.spec import ProviderSpec

PUBLIC = "https://api.sendgrid.com"


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ("api_key", "sender", "reply_to", "base_url", "timeout_s"))
    return {
        "api_key": reader.secret(config, "api_key"),
        "sender": reader.sender(config, "sender"),
        "reply_to": reader.sender(config, "reply_to", required=False) or "",
        "base_url": read_base_url(reader, config, SENDGRID, PUBLIC),
        "timeout_s": reader.timeout_s(config),
    }


SENDGRID = ProviderSpec(
    "sendgrid",
    channels=("email",),
    takes_keys=False,
    read=_read,
    shown={"api_key": hidden, "base_url": without_query},
    own_ports=(80, 443),
)

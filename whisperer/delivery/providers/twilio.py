"""Read the configuration of Twilio's Messages API.

{account_sid, auth_token | api_key and api_secret, sender | messaging_service_sid, status_callback, base_url, timeout_s}

Where there is an API key, requests are sent with it. The account's `auth_token` may be there as well: Twilio signs its
callbacks with it.
"""

from __future__ import annotations

import re
from typing import Any

from whisperer.delivery.providers.endpoints import MAX_URL, host_only, read_base_url, url_problem, without_query
from whisperer.delivery.providers.reading import ConfigReader, hidden, last_four
from whisperer.delivery.providers.spec import ProviderSpec

PUBLIC = "https://api.twilio.com"

_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_API_KEY = re.compile(r"SK[0-9a-fA-F]{32}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_SENDER = re.compile(r"\+[1-9][0-9]{6,14}|[0-9]{3,8}|(?=[A-Za-z0-9 ]*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 ]{0,10}")


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    known = ("account_sid", "auth_token", "api_key", "api_secret", "sender", "messaging_service_sid")
    reader.fields(config, (*known, "status_callback", "base_url", "timeout_s"))
    by_key = bool(config.get("api_key") or config.get("api_secret"))
    if config.get("sender") and config.get("messaging_service_sid"):
        reader.note("/config/sender", "conflicting_fields", "write sender or messaging_service_sid, not both")
    elif not config.get("sender") and not config.get("messaging_service_sid"):
        reader.note("/config/sender", "missing_field", "sender or messaging_service_sid is needed")
    callback = reader.text(config, "status_callback", MAX_URL, required=False)
    problem = None if callback is None else url_problem(callback, TWILIO)
    if problem is not None:
        reader.note("/config/status_callback", "invalid_url", problem)
    sender = "a number in E.164, a short code, or up to 11 letters, digits and blanks"
    service = "MG and 32 hexadecimal digits"
    return {
        "account_sid": reader.matching(config, "account_sid", _ACCOUNT, "AC and 32 hexadecimal digits"),
        "auth_token": reader.secret(config, "auth_token", required=not by_key) or "",
        "api_key": reader.secret(config, "api_key", _API_KEY, required=by_key) or "",
        "api_secret": reader.secret(config, "api_secret", required=by_key) or "",
        "sender": reader.matching(config, "sender", _SENDER, sender, required=False) or "",
        "messaging_service_sid": (
            reader.matching(config, "messaging_service_sid", _SERVICE, service, required=False) or ""
        ),
        "status_callback": callback or "",
        "base_url": read_base_url(reader, config, TWILIO, PUBLIC),
        "timeout_s": reader.timeout_s(config),
    }


TWILIO = ProviderSpec(
    "twilio",
    channels=("sms",),
    takes_keys=False,
    read=_read,
    shown={
        "auth_token": hidden,
        "api_key": last_four,
        "api_secret": hidden,
        "status_callback": host_only,
        "base_url": without_query,
    },
    own_ports=(80, 443),
    searches=True,
)

"""Read the configuration of web push: the sender's VAPID key (RFC 8292).

{vapid_private_key, subject, ttl_s, timeout_s}

There is no `base_url`: each browser's subscription names its own push service.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from whisperer.delivery.providers.reading import ConfigReader, hidden
from whisperer.delivery.providers.spec import ProviderSpec

MAX_TTL_S = 28 * 86_400
DEFAULT_TTL_S = 86_400

_KEY = re.compile(r"[A-Za-z0-9_-]{43}=?")
_SUBJECT = re.compile(r"mailto:[!-~]+@[!-~]+|https://[!-~]+")
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of P-256: a private key is from 1 to one less."""


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ("vapid_private_key", "subject", "ttl_s", "timeout_s"))
    key = reader.secret(config, "vapid_private_key", _KEY)
    if key is not None and not 0 < int.from_bytes(base64.urlsafe_b64decode(key[:43] + "=")) < _ORDER:
        reader.note("/config/vapid_private_key", "invalid_secret", "this is no key: 32 bytes in base64url")
    ttl_s = reader.number(config, "ttl_s", DEFAULT_TTL_S, 0, MAX_TTL_S)
    if ttl_s != int(ttl_s):
        reader.note("/config/ttl_s", "invalid_type", "ttl_s is a whole number")
    return {
        "vapid_private_key": key,
        "subject": reader.matching(config, "subject", _SUBJECT, "where you can be reached: mailto:… or https://…"),
        "ttl_s": int(ttl_s),
        "timeout_s": reader.timeout_s(config),
    }


WEBPUSH = ProviderSpec(
    "webpush",
    channels=("push",),
    takes_keys=False,
    read=_read,
    shown={"vapid_private_key": hidden},
    own_ports=(80, 443),
)

"""Read what all services of Amazon need: the region, an access key, and where they are called.

{region, access_key_id, secret_access_key, base_url, timeout_s}
"""

from __future__ import annotations

import re
from typing import Any

from whisperer.delivery.providers.endpoints import read_base_url, without_query
from whisperer.delivery.providers.reading import ConfigReader, hidden, last_four
from whisperer.delivery.providers.spec import ProviderSpec

FIELDS = ("region", "access_key_id", "secret_access_key", "base_url", "timeout_s")
SHOWN = {"access_key_id": last_four, "secret_access_key": hidden, "base_url": without_query}

_REGION = re.compile(r"[a-z]{2,4}(?:-[a-z]{2,16}){1,3}-[1-9][0-9]?")
_KEY_ID = re.compile(r"[A-Z0-9]{16,128}")
_DEFAULT_REGION = "us-east-1"


def read_account(reader: ConfigReader, config: dict[str, Any], spec: ProviderSpec, endpoint: str) -> dict[str, Any]:
    """Return the fields of `FIELDS`. ``endpoint`` is the first label of the service's public host names."""
    region = reader.matching(config, "region", _REGION, "a region of Amazon's, such as eu-central-1")
    suffix = ".cn" if region is not None and region.startswith("cn-") else ""
    public = f"https://{endpoint}.{region or _DEFAULT_REGION}.amazonaws.com{suffix}"
    return {
        "region": region,
        "access_key_id": reader.secret(config, "access_key_id", _KEY_ID),
        "secret_access_key": reader.secret(config, "secret_access_key"),
        "base_url": read_base_url(reader, config, spec, public),
        "timeout_s": reader.timeout_s(config),
    }

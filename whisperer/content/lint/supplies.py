"""Check what a template takes from catalogues and coupon pools, by what the tenant has of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from whisperer.content.catalogue.fields import ID, Fields
from whisperer.content.catalogue_tag import flaw_of
from whisperer.content.lint.finding import Finding
from whisperer.content.template import Template


@dataclass(frozen=True, slots=True)
class Known:
    """What a tenant has: the fields of each catalogue, and the codes that are left in each coupon pool."""

    catalogues: Mapping[str, Fields]
    pools: Mapping[str, int]


def supplies(template: Template, known: Known) -> Iterator[Finding]:
    """Report catalogues, fields and pools that there are not, comparisons that a field does not have, empty pools."""
    seen: set[str] = set()
    for locale, parts in template.locales.items():
        for part, text in parts.items():
            for pick in text.picks:
                fields = known.catalogues.get(pick.catalogue)
                code, message = "unknown_catalogue", f"there is no catalogue {pick.catalogue[:60]!r}"
                if fields is not None:
                    flaw = flaw_of(pick, partial(_kind, fields))
                    if flaw is None:
                        continue
                    code, message = "wrong_catalogue_field", flaw
                if message not in seen:
                    seen.add(message)
                    yield Finding(severity="error", code=code, message=message, locale=locale, part=part)
            for pool in sorted(text.pools - seen):
                seen.add(pool)
                left = known.pools.get(pool)
                if left is None:
                    message = f"there is no coupon pool {pool[:60]!r}"
                    yield Finding(
                        severity="error", code="unknown_coupon_pool", message=message, locale=locale, part=part
                    )
                elif not left:
                    message = f"no code is left in the coupon pool {pool}: who gets none gets no message"
                    yield Finding(severity="warning", code="no_coupons_left", message=message, locale=locale, part=part)


def _kind(fields: Fields, field: str) -> str | None:
    return "string" if field == ID else fields.get(field)

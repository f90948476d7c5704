"""A tenant's settings: tier, approval by a second person, second factors, origins of pages that may call us, brand,
test recipients, the address of links.

An environment has those of its tenant. The tier decides limits, so only the operator changes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from cluster.control_plane import etags
from cluster.control_plane.models import TenantSettingsRow
from cluster.control_plane.tenancy.test_recipients import Recipients, read_recipients
from cluster.control_plane.transactions import Transactions, changed_home, home_of, now_ms
from whisperer.content.brand import brand_problem, changed_brand
from whisperer.errors import Problem, ProblemsError
from whisperer.ids import TenantId
from whisperer.vocabulary.tiers import Tier

MAX_ORIGINS = 50
MAX_ORIGIN_CHARS = 300


class TenantSettingsError(ProblemsError):
    """A tenant's settings cannot be these."""

    subject = "settings"
    code = "invalid_settings"


@dataclass(frozen=True, slots=True)
class TenantSettings:
    """A tenant's settings.

    Attributes
    ----------
    tier : whose limits count; None: the installation's default
    approval : whether a second person must approve what goes live
    second_factor : whether members must sign in with a second factor
    origins : of web pages that may call the control API, such as `https://app.example.com`
    changed_at : ms UTC; None: never
    brand : what templates know as ``brand``
    test_recipients : channel -> addresses to which templates may be sent to be looked at
    postal_address : whether a marketing campaign goes live only if its mails show the sender's postal address
    links_base_url : where links in messages lead instead of the installation's own address; "" for that
    """

    tier: str | None = None
    approval: bool = False
    second_factor: bool = False
    origins: list[str] = field(default_factory=list)
    changed_at: int | None = None
    brand: dict[str, str] = field(default_factory=dict)
    test_recipients: Recipients = field(default_factory=dict)
    links_base_url: str = ""
    postal_address: bool = False

    @property
    def etag(self) -> str:
        brand = (part for item in self.brand.items() for part in item)
        tests = (part for channel, addresses in self.test_recipients.items() for part in (channel, *addresses))
        return etags.etag(
            "settings",
            self.tier or "",
            self.approval,
            self.second_factor,
            *self.origins,
            *brand,
            *tests,
            self.links_base_url,
            self.postal_address,
            self.changed_at or 0,
        )


class TenantsSettings(Transactions):
    """Reads and changes tenants' settings."""

    def tenant_settings(self, tenant: str) -> TenantSettings:
        """Return the settings that count for a tenant or an environment. Raises NotFoundError (`tenant_not_found`)."""
        with self._reading() as session:
            return settings_of(session, home_of(session, tenant).id)

    def set_tenant_settings(
        self,
        tenant: str,
        *,
        tier: str | None = None,
        approval: bool | None = None,
        second_factor: bool | None = None,
        origins: Sequence[str] | None = None,
        brand: Mapping[str, str] | None = None,
        test_recipients: Mapping[str, Sequence[str]] | None = None,
        links_base_url: str | None = None,
        postal_address: bool | None = None,
        if_match: str | None = None,
    ) -> TenantSettings:
        """Change the settings given and keep the rest; a tier of "" brings the installation's default back.

        A brand is changed value by value; "" takes one out. Test recipients are replaced, all of them.

        Raises TenantSettingsError, StaleError, NotFoundError (`tenant_not_found`) and ConflictError
        (`belongs_to_tenant`).
        """
        changes: dict[str, Any] = {
            "tier": tier,
            "approval": approval,
            "second_factor": second_factor,
            "postal_address": postal_address,
            "origins": None if origins is None else checked_origins(origins),
            "test_recipients": None if test_recipients is None else checked_recipients(test_recipients),
            "links_base_url": None if links_base_url is None else checked_base_url(links_base_url),
        }
        if tier and tier not in list(Tier):
            raise TenantSettingsError([_problem("/tier", f"{tier[:80]!r} is no tier; these are: {', '.join(Tier)}")])
        check_brand(brand or {})
        with self._writing() as session:
            home = changed_home(session, tenant)
            now = settings_of(session, home.id)
            etags.check(if_match, now.etag)
            changes["brand"] = None if brand is None else changed_brand(now.brand, brand)
            row = row_of(session, home.id)
            for name, value in changes.items():
                wanted = (value or None) if name == "tier" and value is not None else value
                if value is not None and wanted != getattr(row, name):
                    setattr(row, name, wanted)
                    row.changed_at = now_ms()
            session.flush()
            return settings_of(session, home.id)


def settings_of(session: Session, tenant_id: TenantId) -> TenantSettings:
    """Return the settings stored for a tenant, given by id."""
    row = session.get(TenantSettingsRow, tenant_id)
    if row is None:
        return TenantSettings()
    return TenantSettings(
        row.tier,
        row.approval,
        row.second_factor,
        list(row.origins),
        row.changed_at,
        dict(row.brand),
        dict(row.test_recipients),
        row.links_base_url,
        row.postal_address,
    )


def row_of(session: Session, tenant_id: TenantId) -> TenantSettingsRow:
    """Return a tenant's row, made with the defaults if there is none; the caller holds the tenant's lock."""
    row = session.get(TenantSettingsRow, tenant_id)
    if row is None:
        row = TenantSettingsRow(
            tenant_id=tenant_id,
            approval=False,
            second_factor=False,
            origins=[],
            brand={},
            test_recipients={},
            links_base_url="",
            postal_address=False,
            changed_at=now_ms(),
        )
        session.add(row)
    return row


def check_brand(brand: Mapping[str, str]) -> None:
    """Raise TenantSettingsError with every value that a brand cannot have; "" takes one out."""
    problems = [
        _problem(f"/brand/{name[:80]}", message)
        for name, value in brand.items()
        if (message := brand_problem(name, value))
    ]
    if problems:
        raise TenantSettingsError(problems)


def checked_recipients(stated: Mapping[str, Sequence[str]]) -> Recipients:
    """Return test recipients as they are used. Raises TenantSettingsError with every one that is none."""
    found, problems = read_recipients(stated)
    if problems:
        raise TenantSettingsError(problems)
    return found


def checked_base_url(text: str) -> str:
    """Return the address of links without a slash at its end; "" takes it out. Raises TenantSettingsError."""
    if not text:
        return ""
    origin = _origin(text)
    if origin is None or not origin.startswith("https://"):
        message = f"{text[:80]!r} is no address such as https://go.example.com: https, a host, and no path"
        raise TenantSettingsError([_problem("/links_base_url", message)])
    return origin


def checked_origins(origins: Sequence[str]) -> list[str]:
    """Return origins in the form that browsers send. Raises TenantSettingsError."""
    problems: list[Problem] = []
    found: list[str] = []
    if len(origins) > MAX_ORIGINS:
        problems.append(_problem("/origins", f"name at most {MAX_ORIGINS}"))
    for place, text in enumerate(origins[:MAX_ORIGINS]):
        origin = _origin(text)
        if origin is None:
            message = f"{text[:80]!r} is no origin such as https://app.example.com: scheme, host and port only"
            problems.append(_problem(f"/origins/{place}", message))
        elif origin not in found:
            found.append(origin)
    if problems:
        raise TenantSettingsError(problems)
    return found


def _origin(text: str) -> str | None:
    """Return an origin as browsers send it (RFC 6454), or None if it is not one."""
    if len(text) > MAX_ORIGIN_CHARS or not text.isascii() or not text.isprintable():
        return None
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    if parts.path not in ("", "/") or "?" in text or "#" in text or not re.fullmatch(r"[a-z0-9.:-]+", parts.hostname):
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    usual = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port is not None and port != usual else "")


def _problem(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code="invalid_settings", message=message)

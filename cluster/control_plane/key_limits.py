"""What an API key is limited to: permissions, a last moment, networks; never less than what makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from sqlalchemy.orm import Session

from cluster.control_plane import keys
from cluster.control_plane.granting import Giver
from cluster.control_plane.models import ApiKeyRow
from cluster.control_plane.transactions import now_ms
from whisperer.access.permissions import OF_SECRET_KEYS, OF_WRITE_KEYS, SCOPES, Permission, Permissions, parsed
from whisperer.errors import ForbiddenError, Problem, ProblemsError

MAX_NETWORKS = 100


class KeySettingsError(ProblemsError):
    """A key cannot be limited this way."""

    subject = "key"
    code = "invalid_key_settings"


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """What a key is limited to."""

    scopes: list[str] | None
    expires_at: int | None
    addresses: list[str] | None

    @classmethod
    def checked(
        cls, kind: str, scopes: Sequence[object] | None, expires_at: int | None, addresses: Sequence[object] | None
    ) -> KeyLimits:
        """Return limits that a caller named. Raises PermissionsError and KeySettingsError."""
        problems: list[Problem] = []
        if kind == keys.WRITE and scopes is not None:
            problems.append(_problem("/scopes", "a write key only sends events; scopes are for secret keys"))
        if scopes is not None and not scopes:
            problems.append(_problem("/scopes", "name at least one, or leave scopes out"))
        if expires_at is not None and expires_at <= now_ms():
            problems.append(_problem("/expires_at", "this time has passed; name one to come, or leave it out"))
        if addresses is not None and not 0 < len(addresses) <= MAX_NETWORKS:
            problems.append(_problem("/addresses", f"name 1 to {MAX_NETWORKS} networks, or leave addresses out"))
        networks = []
        for place, named in enumerate(addresses or ()):
            try:
                networks.append(str(ip_network(str(named), strict=False)))
            except ValueError:
                shown = str(named)[:80]
                message = f"{shown!r} is no network such as 203.0.113.0/24 or 2001:db8::/32"
                problems.append(_problem(f"/addresses/{place}", message))
        if problems:
            raise KeySettingsError(problems)
        named_scopes = None if scopes is None else sorted(map(str, parsed(scopes, SCOPES, "/scopes")))
        return cls(named_scopes, expires_at, networks if addresses is not None else None)


def _problem(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code="invalid_key_settings", message=message)


def permissions_of(kind: str, scopes: list[str] | None) -> Permissions:
    """Return what a key may do."""
    if kind == keys.WRITE:
        return OF_WRITE_KEYS
    if scopes is None:
        return OF_SECRET_KEYS
    return SCOPES & {Permission(scope) for scope in scopes if scope in SCOPES}  # one of a later release gives nothing


def check_giver(session: Session, giver: Giver, kind: str, limits: KeyLimits) -> None:
    """Raise ForbiddenError (`escalation`) if a key would do more, end later or reach further than what makes it."""
    giver.check(permissions_of(kind, limits.scopes), "this key")
    maker = session.get(ApiKeyRow, giver.key_id) if giver.key_id else None
    if maker is None:
        return
    if maker.expires_at is not None and (limits.expires_at is None or limits.expires_at > maker.expires_at):
        raise ForbiddenError("a key that ends makes no key that ends later; name expires_at", code="escalation")
    if maker.addresses is not None:
        theirs = [ip_network(network) for network in maker.addresses]
        if limits.addresses is None or not all(_is_within(ip_network(one), theirs) for one in limits.addresses):
            message = "a key of some networks makes keys of these networks only; name addresses within them"
            raise ForbiddenError(message, code="escalation")


def _is_within(network: IPv4Network | IPv6Network, others: Sequence[IPv4Network | IPv6Network]) -> bool:
    return any(
        network.version == other.version and network.subnet_of(other)  # type: ignore[arg-type]
        for other in others
    )

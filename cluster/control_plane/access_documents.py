"""Turns keys, people, roles, environments, settings and saved reports into documents for callers and the command line.

Times are ISO 8601. Field order is the order of the JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cluster.control_plane.key_records import KeyInfo, NewKey
from cluster.control_plane.people.invitations import Invitation
from cluster.control_plane.people.members import Member
from cluster.control_plane.people.roles import RoleInfo
from cluster.control_plane.tenancy.generators import TenantGenerator
from cluster.control_plane.tenancy.saved_reports import SavedReport
from cluster.control_plane.tenancy.tenant_settings import TenantSettings
from cluster.control_plane.tenants import Tenant
from cluster.times import iso
from whisperer.content.generation.settings import HIDDEN


class KeyDocument(msgspec.Struct, kw_only=True):
    """A key without its secret.

    Attributes
    ----------
    key : the whole of it, only in the answer that makes it
    shown : its first and last characters, to tell keys apart
    state : active, expired or revoked
    scopes : permissions; None for all that keys of this kind have
    addresses : networks from which it may be used; None for any
    replaced_by : id of the key that it was rotated to
    """

    id: str
    key: str | msgspec.UnsetType = msgspec.UNSET
    kind: str
    shown: str
    label: str
    state: str
    scopes: list[str] | None
    addresses: list[str] | None
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    replaced_by: str | None


class MemberDocument(msgspec.Struct, kw_only=True):
    """A member; ``id`` is the person's, in every tenant the same."""

    id: str
    email: str
    name: str
    role: str
    second_factor: bool
    joined_at: str | None
    changed_at: str | None
    disabled_at: str | None


class InvitationDocument(msgspec.Struct, kw_only=True):
    """An invitation; ``token`` is only in the answer that makes it."""

    id: str
    token: str | msgspec.UnsetType = msgspec.UNSET
    email: str | None
    role: str
    state: str
    invited_by: str
    created_at: str | None
    expires_at: str | None
    accepted_at: str | None
    revoked_at: str | None


class RoleDocument(msgspec.Struct, kw_only=True):
    """A role; a built-in one never changes."""

    name: str
    permissions: list[str]
    built_in: bool
    changed_at: str | None


class EnvironmentDocument(msgspec.Struct, kw_only=True):
    """An environment. ``tenant`` is the name by which it is called wherever a tenant is named."""

    name: str
    tenant: str
    id: str
    created_at: str | None


class SettingsDocument(msgspec.Struct, kw_only=True):
    """A tenant's settings; ``tier`` is None for the installation's default."""

    tier: str | None
    approval: bool
    second_factor: bool
    origins: list[str]
    changed_at: str | None
    brand: dict[str, str]
    test_recipients: dict[str, list[str]]
    links_base_url: str
    postal_address: bool


class GeneratorDocument(msgspec.Struct, kw_only=True):
    """A tenant's generator; ``api_key`` stands for the one that is stored, None if there is none."""

    base_url: str
    model: str
    api_key: str | None
    requests_per_minute: int
    tokens_per_day: int
    at_send_time: bool
    voice: str
    banned_claims: list[str]
    allowed_hosts: list[str]
    changed_at: str | None


class SavedReportDocument(msgspec.Struct, kw_only=True):
    """A saved report; ``definition`` can be sent back as it is."""

    name: str
    definition: dict[str, Any]
    created_at: str | None
    changed_at: str | None


def key_document(key: KeyInfo, now: int, made: NewKey | None = None) -> KeyDocument:
    """Return a key's document at ``now`` (ms UTC); with its secret if it was just ``made``."""
    return KeyDocument(
        id=key.id,
        key=msgspec.UNSET if made is None else made.key,
        kind=key.kind,
        shown=key.shown,
        label=key.label,
        state=key.state(now),
        scopes=key.scopes,
        addresses=key.addresses,
        created_at=iso(key.created_at),
        expires_at=iso(key.expires_at),
        revoked_at=iso(key.revoked_at),
        last_used_at=iso(key.last_used_at),
        replaced_by=key.replaced_by,
    )


def member_document(member: Member) -> MemberDocument:
    """Return a member's document."""
    return MemberDocument(
        id=member.id,
        email=member.email,
        name=member.name,
        role=member.role,
        second_factor=member.second_factor,
        joined_at=iso(member.created_at),
        changed_at=iso(member.changed_at),
        disabled_at=iso(member.disabled_at),
    )


def invitation_document(invitation: Invitation, now: int) -> InvitationDocument:
    """Return an invitation's document at ``now`` (ms UTC)."""
    return InvitationDocument(
        id=invitation.id,
        token=msgspec.UNSET if invitation.token is None else invitation.token,
        email=invitation.email,
        role=invitation.role,
        state=invitation.state(now),
        invited_by=invitation.invited_by,
        created_at=iso(invitation.created_at),
        expires_at=iso(invitation.expires_at),
        accepted_at=iso(invitation.accepted_at),
        revoked_at=iso(invitation.revoked_at),
    )


def role_document(role: RoleInfo) -> RoleDocument:
    """Return a role's document."""
    return RoleDocument(
        name=role.name, permissions=role.permissions, built_in=role.built_in, changed_at=iso(role.changed_at)
    )


def environment_document(environment: Tenant) -> EnvironmentDocument:
    """Return an environment's document."""
    return EnvironmentDocument(
        name=environment.environment,
        tenant=environment.name,
        id=environment.id,
        created_at=iso(environment.created_at),
    )


def settings_document(settings: TenantSettings) -> SettingsDocument:
    """Return the document of a tenant's settings."""
    return SettingsDocument(
        tier=settings.tier,
        approval=settings.approval,
        second_factor=settings.second_factor,
        origins=settings.origins,
        changed_at=iso(settings.changed_at),
        brand=settings.brand,
        test_recipients=settings.test_recipients,
        links_base_url=settings.links_base_url,
        postal_address=settings.postal_address,
    )


def generator_document(generator: TenantGenerator) -> GeneratorDocument:
    """Return a generator's document."""
    held = generator.settings
    return GeneratorDocument(
        base_url=held.base_url,
        model=held.model,
        api_key=HIDDEN if held.api_key else None,
        requests_per_minute=held.requests_per_minute,
        tokens_per_day=held.tokens_per_day,
        at_send_time=held.at_send_time,
        voice=held.voice,
        banned_claims=list(held.banned_claims),
        allowed_hosts=list(held.allowed_hosts),
        changed_at=iso(generator.changed_at),
    )


def saved_report_document(report: SavedReport) -> SavedReportDocument:
    """Return a saved report's document."""
    return SavedReportDocument(
        name=report.name,
        definition=report.definition,
        created_at=iso(report.created_at),
        changed_at=iso(report.changed_at),
    )

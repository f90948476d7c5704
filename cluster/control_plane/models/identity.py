"""Defines the tables of people, and of how they and services prove who they are.

Passwords, tokens, codes and invitations are stored as hashes; a TOTP secret and a signing key, which are needed in
full, are sealed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.control_plane.models.base import SECRET, Base
from cluster.control_plane.models.sealed import SealedText
from whisperer.ids import TenantId


class PersonRow(Base):
    """A person who may sign in, whichever tenants they are a member of."""

    __tablename__ = "people"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(320))
    folded_email: Mapped[str] = mapped_column(String(320), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    password_hash: Mapped[str | None] = mapped_column(String(200), info=SECRET)
    """argon2id in PHC form; None for those who sign in elsewhere."""
    totp_secret: Mapped[str | None] = mapped_column(SealedText("people.totp_secret"), info=SECRET)
    totp_confirmed_at: Mapped[int | None]
    totp_step: Mapped[int | None]
    """The newest step whose code was used: a code counts once."""
    created_at: Mapped[int]
    disabled_at: Mapped[int | None]


class RecoveryCodeRow(Base):
    """A code that stands in for the second factor once."""

    __tablename__ = "recovery_codes"

    person_id: Mapped[str] = mapped_column(ForeignKey("people.id"), primary_key=True)
    hash: Mapped[str] = mapped_column(String(64), primary_key=True, info=SECRET)
    used_at: Mapped[int | None]


class MembershipRow(Base):
    """A person's role in a tenant."""

    __tablename__ = "memberships"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey("people.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(63))
    created_at: Mapped[int]
    changed_at: Mapped[int]


class RoleRow(Base):
    """A tenant's own role: a named set of permissions."""

    __tablename__ = "roles"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    permissions: Mapped[list[str]]
    changed_at: Mapped[int]


class InvitationRow(Base):
    """An invitation to become a member, good once and for a time."""

    __tablename__ = "invitations"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), index=True)
    email: Mapped[str | None] = mapped_column(String(320))
    """Whom it is for; None for the first owner, whose address is not known."""
    role: Mapped[str] = mapped_column(String(63))
    hash: Mapped[str] = mapped_column(String(64), unique=True, info=SECRET)
    invited_by: Mapped[str] = mapped_column(String(320))
    created_at: Mapped[int]
    expires_at: Mapped[int]
    accepted_at: Mapped[int | None]
    revoked_at: Mapped[int | None]


class TokenFamilyRow(Base):
    """One sign-in: a chain of refresh tokens of which only the newest counts. A page's session is one too."""

    __tablename__ = "token_families"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[TenantId | None] = mapped_column(ForeignKey("tenants.id"), index=True)
    person_id: Mapped[str | None] = mapped_column(ForeignKey("people.id"), index=True)
    """None for a token that an operator made."""
    role: Mapped[str | None] = mapped_column(String(63))
    """The role that an operator gave; None for a person, whose membership decides each time."""
    kind: Mapped[str] = mapped_column(String(16))
    client: Mapped[str] = mapped_column(String(200))
    """What signed in, for people to recognise."""
    root_hash: Mapped[str] = mapped_column(String(64), info=SECRET)
    """Of the part that all its tokens share: whoever presents it has, or had, one of them."""
    hash: Mapped[str] = mapped_column(String(64), info=SECRET)
    """Of the part that only the newest token has."""
    number: Mapped[int]
    """How often it was refreshed."""
    created_at: Mapped[int]
    used_at: Mapped[int]
    expires_at: Mapped[int]
    revoked_at: Mapped[int | None]
    revoked_for: Mapped[str | None] = mapped_column(String(32))


class SigningKeyRow(Base):
    """A key with which this installation signs its tokens."""

    __tablename__ = "signing_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    """The `kid` of its tokens."""
    algorithm: Mapped[str] = mapped_column(String(16))
    private_key: Mapped[str] = mapped_column(SealedText("signing_keys.private_key", Text()), info=SECRET)
    """PKCS 8 in PEM."""
    public_key: Mapped[dict[str, Any]]
    """As a JWK."""
    created_at: Mapped[int]
    retired_at: Mapped[int | None]
    """Signs no more since then; its tokens stay good until they expire."""


class IssuerRow(Base):
    """An OpenID Connect issuer whose tokens, and whose people, a tenant trusts."""

    __tablename__ = "issuers"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"))
    issuer: Mapped[str] = mapped_column(String(500))
    audience: Mapped[str] = mapped_column(String(200))
    client_id: Mapped[str] = mapped_column(String(200))
    client_secret: Mapped[str | None] = mapped_column(SealedText("issuers.client_secret"), info=SECRET)
    role_claim: Mapped[str] = mapped_column(String(63))
    roles: Mapped[dict[str, Any]]
    """From a value of the claim to a role; "*" for everybody else."""
    created_at: Mapped[int]
    changed_at: Mapped[int]

    __table_args__ = (Index("ix_issuers_tenant_id", "tenant_id"), Index("ix_issuers_issuer", "issuer"))

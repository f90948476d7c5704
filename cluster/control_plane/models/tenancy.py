"""Defines the tables of tenants, their environments, settings, keys and channels."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Double, ForeignKey, String, false
from sqlalchemy.orm import Mapped, mapped_column

from cluster.control_plane.models.base import SECRET, Base
from cluster.control_plane.models.sealed import SealedJson, SealedText
from whisperer.ids import TenantId


class TenantRow(Base):
    """An isolated customer of the installation, or one of its further environments, which has data, keys and channels
    of its own.
    """

    __tablename__ = "tenants"

    id: Mapped[TenantId] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    folded_name: Mapped[str] = mapped_column(String(63), unique=True)
    """Lower-cased name: two tenants must not differ by case alone."""
    created_at: Mapped[int]
    environment: Mapped[str] = mapped_column(String(16), default="live", server_default="live")
    environment_of: Mapped[TenantId | None] = mapped_column(String(32), index=True)
    """The tenant whose environment this is: its members and roles count here. None for the tenant itself."""


class TenantSettingsRow(Base):
    """What a tenant has set; a tenant without a row has the defaults. Of an environment only the secrets of its users
    count, everything else is the tenant's.
    """

    __tablename__ = "tenant_settings"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    tier: Mapped[str | None] = mapped_column(String(32))
    """Name of the tier whose limits count; None for the installation's default."""
    approval: Mapped[bool]
    """Whether a second person must approve what goes live."""
    second_factor: Mapped[bool]
    """Whether members must sign in with a second factor."""
    origins: Mapped[list[str]]
    """Web origins whose pages may call the control API."""
    user_secret: Mapped[str | None] = mapped_column(SealedText("tenant_settings.user_secret"), info=SECRET)
    """Signs the user tokens that browsers present."""
    previous_user_secret: Mapped[str | None] = mapped_column(
        SealedText("tenant_settings.previous_user_secret"), info=SECRET
    )
    """Its tokens are still good until ``previous_user_until``, so that pages that are open go on."""
    previous_user_until: Mapped[int | None]
    changed_at: Mapped[int]
    brand: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")
    """What templates know as ``brand``: ``whisperer.content.brand.FIELDS``."""
    test_recipients: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default="{}")
    """Channel -> addresses to which templates may be sent to be looked at."""
    links_base_url: Mapped[str] = mapped_column(String(200), default="", server_default="")
    """Where links in messages lead instead of the installation's own address; "" for that."""
    postal_address: Mapped[bool] = mapped_column(default=False, server_default=false())
    """Whether a campaign goes live only if its mails show a postal address."""


class ApiKeyRow(Base):
    """A tenant's key, stored by its hash."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), index=True)
    kind: Mapped[str] = mapped_column(String(8))
    shown: Mapped[str] = mapped_column(String(16))
    hash: Mapped[str] = mapped_column(String(64), unique=True, info=SECRET)
    label: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[int]
    revoked_at: Mapped[int | None]
    scopes: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """Permissions; None for all that keys of this kind have."""
    expires_at: Mapped[int | None]
    addresses: Mapped[list[str] | None] = mapped_column(JSON(none_as_null=True))
    """Networks (CIDR) from which it may be used; None for any."""
    replaced_by: Mapped[str | None] = mapped_column(String(32))
    """Id of the key that it was rotated to."""


class KeyUseRow(Base):
    """When a key was last used; apart from the key, because it is not configuration."""

    __tablename__ = "key_uses"

    key_id: Mapped[str] = mapped_column(ForeignKey("api_keys.id"), primary_key=True)
    last_used_at: Mapped[int]


class SavedReportRow(Base):
    """A report's question, kept under a name."""

    __tablename__ = "saved_reports"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(63), primary_key=True)
    definition: Mapped[dict[str, Any]]
    created_at: Mapped[int]
    changed_at: Mapped[int]


class ChannelRow(Base):
    """The provider of one tenant's channel; without a row, messages go to the sink."""

    __tablename__ = "channels"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    channel: Mapped[str] = mapped_column(String(16), primary_key=True)
    provider: Mapped[str] = mapped_column(String(32))
    config: Mapped[dict[str, Any]] = mapped_column(SealedJson("channels.config"))
    changed_at: Mapped[int]
    callback_serial: Mapped[int] = mapped_column(default=0, server_default="0")
    """The number of its callback token that is good; it counts up when the token is replaced."""
    plan: Mapped[dict[str, Any] | None] = mapped_column(SealedJson("channels.plan"))
    """Rates, and further accounts with their configurations; None for one account without limits."""


class ExperimentRow(Base):
    """How one tenant's users are divided into groups. ``salt`` never changes."""

    __tablename__ = "experiments"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    salt: Mapped[str] = mapped_column(String(32), info=SECRET)
    holdout: Mapped[float] = mapped_column(Double)
    uniform: Mapped[float] = mapped_column(Double)
    consent_default: Mapped[bool]


class GeneratorRow(Base):
    """The endpoint that writes a tenant's texts."""

    __tablename__ = "generators"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    settings: Mapped[dict[str, Any]]
    """:class:`whisperer.content.generation.settings.GeneratorSettings`, without the key."""
    api_key: Mapped[str | None] = mapped_column(SealedText("generators.api_key"), info=SECRET)
    changed_at: Mapped[int]


class GeneratorUseRow(Base):
    """What a tenant's generator used on a day; apart from the generator, because it is not configuration."""

    __tablename__ = "generator_uses"

    tenant_id: Mapped[TenantId] = mapped_column(ForeignKey("tenants.id"), primary_key=True)
    day: Mapped[int] = mapped_column(primary_key=True)
    """Days since 1970, UTC."""
    tokens: Mapped[int]

"""Policies as drafts: the draft proposes a registered version, whose manifest is what people compare.

How a version goes live, step by step and on evidence, is decided in :mod:`cluster.control_plane.policies`.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from cluster.control_plane.approval import Kind
from cluster.control_plane.drafts.kind import DraftKind
from cluster.control_plane.models import PolicyRow, PolicyVersionRow
from cluster.control_plane.policies import proposal, require
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId
from whisperer.models.artifact import decode
from whisperer.models.rollout import BUILT_IN


class PolicyKind(DraftKind):
    kind = Kind.POLICY
    plural = "policies"

    def checked(self, name: str, body: Any) -> dict[str, Any]:
        return proposal(body["version"])

    def live(self, session: Session, tenant_id: TenantId, name: str) -> int | None:
        row = session.get(PolicyRow, (tenant_id, name))
        return None if row is None or row.live == BUILT_IN else row.live

    def exists(self, session: Session, tenant_id: TenantId, name: str) -> bool:
        return session.get(PolicyRow, (tenant_id, name)) is not None

    def content(self, session: Session, tenant_id: TenantId, name: str, version: int) -> dict[str, Any] | None:
        row = session.get(PolicyVersionRow, (tenant_id, name, version))
        return None if row is None else proposal(version)

    def compared(
        self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any], version: int | None
    ) -> dict[str, Any]:
        row = session.get_one(PolicyVersionRow, (tenant_id, name, content["version"]))
        manifest: dict[str, Any] = msgspec.to_builtins(decode(row.manifest.encode()))
        return manifest

    def write(self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any]) -> None:
        require(session, tenant_id, name)
        if self.content(session, tenant_id, name, content["version"]) is None:
            raise NotFoundError(f"{name} has no version {content['version']}", code="policy_version_not_found")
        super().write(session, tenant_id, name, content)

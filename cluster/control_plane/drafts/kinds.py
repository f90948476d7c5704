"""The kinds that go from draft to live. Another one is a module next to this one, and an entry here."""

from __future__ import annotations

from cluster.control_plane.approval import Kind
from cluster.control_plane.drafts.campaign import CampaignKind
from cluster.control_plane.drafts.kind import DraftKind, PublishedKind
from cluster.control_plane.drafts.policy import PolicyKind
from cluster.control_plane.drafts.segment import SegmentKind
from cluster.control_plane.drafts.template import TemplateKind

KINDS: dict[Kind, DraftKind] = {
    kind.kind: kind for kind in (CampaignKind(), TemplateKind(), SegmentKind(), PolicyKind())
}

PUBLISHED: dict[Kind, PublishedKind] = {name: kind for name, kind in KINDS.items() if isinstance(kind, PublishedKind)}
"""Those that go live from their draft; a policy is promoted, step by step."""

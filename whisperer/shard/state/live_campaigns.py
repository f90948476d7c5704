"""Bind a tenant's published campaigns to this shard: which events and segment entries concern which campaign.

A paused or ended campaign stays known, so that its open decisions can be refused with that reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import lru_cache

from whisperer.journeys.campaign import Campaign, CampaignStatus, OnEvent, OnSchedule, OnSegment, from_json
from whisperer.journeys.engagement import Decision, Pinned
from whisperer.journeys.schedule import Schedule
from whisperer.profiles import features
from whisperer.segments import program
from whisperer.segments.parse import parse_json
from whisperer.segments.program import Program
from whisperer.shard.records import CampaignConfig

_campaign = lru_cache(maxsize=1024)(from_json)


@dataclass(frozen=True, slots=True)
class LiveCampaign:
    """Hold one published campaign, parsed and compiled; despite the name it may be paused or ended."""

    config: CampaignConfig
    campaign: Campaign
    audience: Program | None
    schedule: Schedule | None
    arms: tuple[tuple[str, str], ...]
    """(arm id, channel), as eligibility takes them."""

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def is_live(self) -> bool:
        return self.config.status == CampaignStatus.LIVE

    @classmethod
    def of(cls, config: CampaignConfig) -> LiveCampaign:
        """Parse and compile a campaign's stored form."""
        campaign = _campaign(config.definition)
        audience = program.compile(parse_json(campaign.audience), features.FEATURES) if campaign.audience else None
        scheduled = isinstance(campaign.trigger, OnSchedule)
        schedule = Schedule(campaign.trigger.cron) if scheduled else None  # type: ignore[union-attr]
        return cls(config, campaign, audience, schedule, tuple((arm.id, arm.channel) for arm in campaign.arms))


@dataclass(slots=True)
class LiveCampaigns:
    """Hold a tenant's campaigns in one shard, indexed by what concerns them."""

    by_name: dict[str, LiveCampaign] = field(default_factory=dict)
    versions: dict[tuple[str, int], CampaignConfig] = field(default_factory=dict)
    """Versions in force, and older ones that decisions are under: a decision keeps its version."""
    on_event: dict[str, list[LiveCampaign]] = field(default_factory=dict)
    on_segment: dict[str, list[LiveCampaign]] = field(default_factory=dict)
    on_goal: dict[str, list[LiveCampaign]] = field(default_factory=dict)
    scheduled: list[LiveCampaign] = field(default_factory=list)
    watched: frozenset[str] = frozenset()
    """Names of the events that concern any campaign; as text, so that a name the shard has no code for still calls."""

    def __bool__(self) -> bool:
        return bool(self.by_name)

    @property
    def configs(self) -> list[CampaignConfig]:
        return [live.config for live in self.by_name.values()]

    def events(self) -> set[str]:
        """Return the names of the events that any campaign uses as trigger, as goal, or in its audience."""
        counted = (live.audience.events for live in self.by_name.values() if live.audience is not None)
        return set(self.watched).union(*counted)

    def pinned(self, decision: Decision) -> Campaign:
        """Return the campaign as it was when the decision was considered."""
        return _campaign(self.versions[decision.campaign, decision.campaign_version].definition)

    def pinned_by(self, decisions: Iterable[Decision]) -> list[Pinned]:
        """Return the campaign versions that must go along with decisions that leave this shard."""
        places = sorted({(d.campaign, d.campaign_version) for d in decisions})
        return [Pinned(*place, self.versions[place].definition) for place in places]

    def learn(self, pinned: Iterable[Pinned]) -> None:
        """Remember the versions that arriving decisions are under, which may never have been published here."""
        for p in pinned:
            self.versions.setdefault(
                (p.campaign, p.version), CampaignConfig(p.campaign, p.version, CampaignStatus.ENDED, p.definition)
            )

    def forget_all_but(self, in_use: Collection[tuple[str, int]]) -> None:
        """Forget versions that are neither in force nor ``in_use``, as a tenant may publish as often as it likes."""
        in_force = {(config.name, config.version) for config in self.configs}
        for place in [place for place in self.versions if place not in in_force and place not in in_use]:
            del self.versions[place]

    def publish(self, configs: list[CampaignConfig]) -> None:
        """Replace a tenant's campaigns. The goals of ended ones stay watched, as rewards still mature."""
        held = self.by_name
        self.versions.update({(c.name, c.version): c for c in configs})
        self.by_name = {
            c.name: held[c.name] if c.name in held and held[c.name].config == c else LiveCampaign.of(c) for c in configs
        }
        self.on_event, self.on_segment, self.on_goal, self.scheduled = {}, {}, {}, []
        for live in self.by_name.values():
            self.on_goal.setdefault(live.campaign.goal.event, []).append(live)
            if not live.is_live:
                continue
            match live.campaign.trigger:
                case OnEvent(event):
                    self.on_event.setdefault(event, []).append(live)
                case OnSegment(segment):
                    self.on_segment.setdefault(segment, []).append(live)
                case OnSchedule():
                    self.scheduled.append(live)
        self.watched = frozenset(self.on_event) | frozenset(self.on_goal)

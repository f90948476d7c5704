"""Parse a caller's JSON into a campaign, or report everything that is wrong with it.

Guarantees: whatever the input, either a campaign within every limit of :mod:`whisperer.journeys.limits` or a
``CampaignError``; work is bounded by those limits, not by the input. Arms come back unpinned (``template_version`` 0):
publication decides which version of a template they mean, and checks that the template exists. The JSON is described in
docs/campaigns.md; :mod:`whisperer.journeys.caller` writes it back.
"""

from __future__ import annotations

from typing import Any, Literal, cast

from whisperer.content.generation.brief import (
    DEFAULT_CHARS,
    MAX_BRIEF_CHARS,
    MAX_CHARS,
    MAX_FACT_CHARS,
    MAX_FACTS,
    MIN_CHARS,
    Brief,
    fact_problem,
)
from whisperer.decisions.budget import Budget
from whisperer.decisions.decision import NO_SEND
from whisperer.decisions.pacing import HOURS
from whisperer.eligibility.rules import MARKETING, Cap, QuietHours
from whisperer.journeys import limits
from whisperer.journeys.campaign import (
    USER_ZONE,
    Arm,
    Campaign,
    Goal,
    OnEvent,
    OnRequest,
    OnSchedule,
    OnSegment,
    Trigger,
)
from whisperer.journeys.errors import CampaignError
from whisperer.journeys.reading import Reader
from whisperer.segments import PredicateError, canonical_json
from whisperer.segments import limits as predicate_limits
from whisperer.segments import parse as parse_predicate
from whisperer.segments.values import shown
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.units import MICROS

SENDER_FIELDS = ("from_name", "reply_to")
FIELDS = ("trigger", "audience", "goal", "purpose", "arms", "caps", "quiet_hours", "budget", *SENDER_FIELDS)
ARM_FIELDS = ("id", "channel", "template", "offer", "cost", "generate", *SENDER_FIELDS)
TRIGGERS = ("event", "segment", "schedule", "request")
PERIODS = ("rolling", "day", "week", "month")
SCOPES = ("campaign", "tenant", "channel")
REWARDS = ("conversion", "revenue")
BRIEF_FIELDS = ("brief", "facts", "max_chars")
UNPINNED = 0


def parse_campaign(obj: object, name: str) -> Campaign:
    """Check a decoded JSON campaign and return it as a value.

    Parameters
    ----------
    obj : what a JSON decoder returned.
    name : of the campaign, checked as well (at ``/name``).

    Raises
    ------
    CampaignError : with every problem found, at most 100.

    Examples
    --------
    >>> parse_campaign({"trigger": {"event": "Trial Started"}, "goal": {"event": "Paid", "window": "72h"},
    ...     "arms": [{"id": "tips", "channel": "email", "template": "tips"}]}, "welcome").goal.window_s
    259200.0
    """
    reader = _CampaignReader()
    reader.name(name, "/name")
    campaign = reader.campaign(obj, name)
    if reader.problems or campaign is None:
        raise CampaignError(reader.problems)
    return campaign


class _CampaignReader(Reader):
    """Read one campaign once. Each method returns the value read, or None after noting a problem."""

    def campaign(self, obj: object, name: str) -> Campaign | None:
        if (fields := self.fields(obj, "", "a campaign", FIELDS)) is None:
            return None
        trigger = (
            self._trigger(fields["trigger"]) if self.has(fields, "trigger", "", "who is considered when") else None
        )
        goal = self._goal(fields["goal"]) if self.has(fields, "goal", "", "what is hoped for") else None
        arms = self._arms(fields["arms"]) if self.has(fields, "arms", "", "what may be sent") else ()
        audience = self._audience(fields.get("audience"))
        purpose = self.name(fields.get("purpose", MARKETING), "/purpose")
        caps = self._caps(fields.get("caps"))
        quiet_hours = self._quiet_hours(fields.get("quiet_hours"))
        budget = self._budget(fields.get("budget"), arms)
        sender = self.sender(fields, "")
        if arms and not any(CHANNELS[arm.channel].names_sender for arm in arms):
            self._no_sender(fields, "", "no arm is for a channel on which a message names its sender")
        if trigger is None or goal is None or purpose is None:
            return None
        return Campaign(name, trigger, goal, arms, audience, purpose, caps, quiet_hours, budget, *sender)

    def _trigger(self, obj: object) -> Trigger | None:
        if (fields := self.fields(obj, "/trigger", "a trigger", TRIGGERS)) is None:
            return None
        kinds = [kind for kind in TRIGGERS if kind in fields]
        if len(kinds) != 1:
            code = "ambiguous_trigger" if kinds else "unknown_trigger"
            found = f"it has {', '.join(kinds)}" if kinds else "it has none"
            self.note("/trigger", code, f"a trigger has exactly one of {', '.join(TRIGGERS)}; {found}")
            return None
        match kinds[0]:
            case "event":
                event = self.text(fields["event"], "/trigger/event", predicate_limits.MAX_NAME)
                return None if event is None else OnEvent(event)
            case "segment":
                segment = self.name(fields["segment"], "/trigger/segment")
                return None if segment is None else OnSegment(segment)
            case "schedule":
                return self._schedule(fields["schedule"])
        if fields["request"] is not True:
            self.note("/trigger/request", "unknown_value", f"write true, not {shown(fields['request'])}")
            return None
        return OnRequest()

    def _schedule(self, obj: object) -> Trigger | None:
        at = "/trigger/schedule"
        fields = self.fields(obj, at, "a schedule", ("cron", "zone"))
        if fields is None or not self.has(fields, "cron", at, "when, as five cron fields"):
            return None
        cron = self.cron(fields["cron"], f"{at}/cron")
        zone = self.zone(fields.get("zone", USER_ZONE), f"{at}/zone")
        return None if cron is None or zone is None else OnSchedule(cron, zone)

    def _audience(self, obj: object) -> str:
        if obj is None:
            return ""
        try:
            return canonical_json(parse_predicate(obj, self.features)).decode()
        except PredicateError as error:
            for problem in error.errors:
                self.note(f"/audience{problem['pointer']}", problem["code"], problem["message"])
            return ""

    def _goal(self, obj: object) -> Goal | None:
        known = ("event", "window_s", "window", "reward", "cap", "unsubscribe_cost")
        if (fields := self.fields(obj, "/goal", "a goal", known)) is None:
            return None
        event = None
        if self.has(fields, "event", "/goal", "which event is hoped for"):
            event = self.text(fields["event"], "/goal/event", predicate_limits.MAX_NAME)
        window_s = self.window(fields, "/goal")
        reward = self.one_of(fields.get("reward", "conversion"), "/goal/reward", REWARDS)
        cap: float | None = 1.0
        if "cap" in fields:
            cap = self.amount(fields["cap"], "/goal/cap", 0, limits.MAX_AMOUNT, above=True)
        elif reward == "revenue":
            self.has(fields, "cap", "/goal", "the most that one decision's revenue counts, so that no outlier decides")
        cost = self.amount(fields.get("unsubscribe_cost", 0.5), "/goal/unsubscribe_cost", 0, limits.MAX_AMOUNT)
        if event is None or window_s is None or reward is None or cap is None or cost is None:
            return None
        return Goal(event, window_s, cast(Literal["conversion", "revenue"], reward), cap, cost)

    def _arms(self, obj: object) -> tuple[Arm, ...]:
        parts = self.entries(obj, "/arms", "arms", limits.MAX_ARMS)
        if parts is None:
            return ()
        if not parts:
            self.note("/arms", "empty", "a campaign without arms could only leave everyone alone; add one")
        arms: list[Arm] = []
        taken: set[str] = set()
        for index, part in enumerate(parts):
            arm = self._arm(part, f"/arms/{index}", taken)
            if arm is not None:
                arms.append(arm)
        return tuple(arms)

    def _arm(self, obj: object, at: str, taken: set[str]) -> Arm | None:
        if (fields := self.fields(obj, at, "an arm", ARM_FIELDS)) is None:
            return None
        arm_id = self.name(fields["id"], f"{at}/id") if self.has(fields, "id", at, "the arm's name") else None
        if arm_id == NO_SEND:
            self.note(f"{at}/id", "reserved_arm", f"{NO_SEND} is always an arm; leave it out")
        elif arm_id is not None and arm_id in taken:
            self.note(f"{at}/id", "duplicate_arm", f"there is an arm {shown(arm_id)} already; ids are unique")
        taken.add(arm_id or "")
        channel = template = None
        if self.has(fields, "channel", at, f"one of {', '.join(CHANNELS)}"):
            channel = self.one_of(fields["channel"], f"{at}/channel", CHANNELS)
        if self.has(fields, "template", at, "which template it sends"):
            template = self.name(fields["template"], f"{at}/template")
        offer = self.offer(fields.get("offer"), f"{at}/offer")
        cost = self.amount(fields.get("cost", 0.0), f"{at}/cost", 0, limits.MAX_AMOUNT)
        brief = self._brief(fields.get("generate"), f"{at}/generate")
        sender = self.sender(fields, at)
        if channel is not None and not CHANNELS[channel].names_sender:
            self._no_sender(fields, at, f"{CHANNELS[channel].article} {CHANNELS[channel].noun} names no sender")
        if arm_id is None or channel is None or template is None or cost is None:
            return None
        return Arm(arm_id, channel, template, UNPINNED, offer, cost, brief, *sender)

    def _no_sender(self, fields: dict[str, Any], at: str, why: str) -> None:
        for name in SENDER_FIELDS:
            if fields.get(name) is not None:
                self.note(f"{at}/{name}", "not_applicable", f"{why}, so this would change nothing; take it out")

    def _brief(self, obj: object, at: str) -> Brief | None:
        if obj is None or (fields := self.fields(obj, at, "what to generate", BRIEF_FIELDS)) is None:
            return None
        text = None
        if self.has(fields, "brief", at, "what a model is to write, in your words"):
            text = self.text(fields["brief"], f"{at}/brief", MAX_BRIEF_CHARS)
        facts: list[str] = []
        for index, part in enumerate(self.entries(fields.get("facts", []), f"{at}/facts", "facts", MAX_FACTS) or ()):
            fact = self.text(part, f"{at}/facts/{index}", MAX_FACT_CHARS)
            if fact is not None and (problem := fact_problem(fact)) is not None:
                self.note(f"{at}/facts/{index}", "unknown_fact", problem)
            elif fact is not None:
                facts.append(fact)
        most = self.whole(fields.get("max_chars", DEFAULT_CHARS), f"{at}/max_chars", MIN_CHARS, MAX_CHARS)
        return None if text is None or most is None else Brief(text, tuple(facts), most)

    def _caps(self, obj: object) -> tuple[Cap, ...]:
        parts = () if obj is None else self.entries(obj, "/caps", "caps", limits.MAX_CAPS) or ()
        caps = [self._cap(part, f"/caps/{index}") for index, part in enumerate(parts)]
        return tuple(cap for cap in caps if cap is not None)

    def _cap(self, obj: object, at: str) -> Cap | None:
        if (fields := self.fields(obj, at, "a cap", ("most", "per", "hours", "scope"))) is None:
            return None
        most = per = None
        if self.has(fields, "most", at, "how many messages"):
            most = self.whole(fields["most"], f"{at}/most", 1, limits.MAX_MOST)
        if self.has(fields, "per", at, f"one of {', '.join(PERIODS)}"):
            per = self.one_of(fields["per"], f"{at}/per", PERIODS)
        scope = self.one_of(fields.get("scope", "campaign"), f"{at}/scope", SCOPES)
        hours: float | None = 0.0
        if per == "rolling":
            if self.has(fields, "hours", at, "within how many hours"):
                hours = self.amount(fields["hours"], f"{at}/hours", 0, limits.MAX_CAP_HOURS, above=True)
        elif per is not None and fields.get("hours") is not None:
            self.note(f"{at}/hours", "not_applicable", f"a {per} is as long as it is; hours go with rolling")
        if most is None or per is None or scope is None or hours is None:
            return None
        return Cap(most, cast(Any, per), hours, cast(Any, scope))

    def _quiet_hours(self, obj: object) -> QuietHours | None:
        at = "/quiet_hours"
        if obj is None or (fields := self.fields(obj, at, "quiet hours", ("from", "until"))) is None:
            return None
        ends = [
            self.minutes(fields[key], f"{at}/{key}") if self.has(fields, key, at, "a time such as 21:00") else None
            for key in ("from", "until")
        ]
        from_min, until_min = ends
        if from_min is None or until_min is None:
            return None
        if from_min == until_min:
            self.note(at, "empty", "these begin when they end; leave quiet_hours out for none")
            return None
        return QuietHours(from_min, until_min)

    def _budget(self, obj: object, arms: tuple[Arm, ...]) -> Budget | None:
        at = "/budget"
        if obj is None or (fields := self.fields(obj, at, "a budget", ("amount", "days", "hours"))) is None:
            return None
        amount = None
        if self.has(fields, "amount", at, "the most that one window's messages may cost, in the goal's unit"):
            amount = self.amount(fields["amount"], f"{at}/amount", 0, limits.MAX_AMOUNT, above=True)
        days = self.whole(fields.get("days", 1), f"{at}/days", 1, limits.MAX_BUDGET_DAYS)
        hours = self._hours(fields.get("hours"), f"{at}/hours")
        if arms and not any(arm.cost for arm in arms):
            self.note(at, "not_applicable", "no arm costs anything; say what each does, as its cost")
        if amount is None or days is None or hours is None:
            return None
        return Budget(round(amount * MICROS), days, hours)

    def _hours(self, obj: object, at: str) -> tuple[float, ...] | None:
        """Read the shares of a day; () if all hours are alike."""
        if obj is None:
            return ()
        parts = self.entries(obj, at, "shares", HOURS)
        if parts is None:
            return None
        shares = [self.amount(part, f"{at}/{index}", 0, limits.MAX_AMOUNT) for index, part in enumerate(parts)]
        if len(parts) < HOURS:
            self.note(at, "out_of_range", f"write {HOURS} shares, one for each hour of a day in UTC, not {len(parts)}")
        elif not any(shares):
            self.note(at, "empty", "nothing could ever be spent; at least one hour needs a share")
        else:
            return tuple(share or 0.0 for share in shares)
        return None

"""A campaign over the users of the Starbucks rewards file: who they are, what may be sent to them, what they did.

What the file holds is history, imported with its own times before the campaign begins. Then the file's waves of offers
come again, live: who received an offer in a wave sends one `offer received`, and which offer, on which channel, or
none, is the product's decision instead of the file's. What such a user spent within 72 hours of the wave is spent
again inside the window, where seconds stand for days. The replayed spending does not depend on what was decided, so
nothing here says what an offer is worth.

E-mail addresses and phone numbers are made up from the person's id, at an example domain and in an area code that does
not exist: the file has none. Leaves sending to :mod:`tests.support.starbucks_traffic` and the sums to
:mod:`tests.support.starbucks_account`.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from tests.support import public_files
from tests.support.stand import SHARED, Tenant
from whisperer.decisions.decision import decision_id
from whisperer.ids import known_key

FOLDER = SHARED / "data" / "starbucks_rewards"
CAMPAIGN = "rewards-offers-compressed-time"
TRIGGER, GOAL = "offer received", "transaction"
SPENDING_HOURS = 72
CAP = 100
MAX_ARMS = 15
COSTS = {"email": 0.01, "sms": 0.05}
MOST_MESSAGES = 4
"""Of a user within a day, so that later waves meet the cap."""

UNKNOWN_AGE = 118
"""The file's word for a person who never said; income and gender are null then."""

BOUNCES_EACH, WITHDRAWN_EACH = 47, 50
"""One in so many has an address that does not exist, or agreed to nothing: refusals belong to the account."""

TEMPLATES: dict[str, dict[str, Any]] = {
    "offer-email": {
        "channel": "email",
        "locales": {
            "en": {
                "subject": '{% if offer.reward > 0 %}{{ offer.reward | money: "USD" }} for you{% else %}New{% endif %}',
                "html": "<p>Hello{% if user.became_member_on %}, a member since "
                '{{ user.became_member_on | date: "long" }}{% endif %}.</p>'
                '<p>{% if offer.type == "bogo" %}Buy one for {{ offer.difficulty | money: "USD" }}, get one free.'
                '{% elsif offer.type == "discount" %}Spend {{ offer.difficulty | money: "USD" }}, '
                'get {{ offer.reward | money: "USD" }} back.{% else %}See what is new.{% endif %} '
                "For {{ offer.days | number }} days.</p>"
                '<p><a href="https://rewards.example.com/offers?type={{ offer.type | url_encode }}">Look</a></p>',
            }
        },
    },
    "offer-sms": {
        "channel": "sms",
        "locales": {
            "en": {
                "text": '{{ offer.reward | money: "USD" }} back until day {{ offer.days }}. https://rewards.example.com'
            }
        },
    },
}


@dataclass(frozen=True)
class Trigger:
    """A user who received an offer in a wave of the file: ``wave`` counts from 0, ``file_offer`` is what it was."""

    person: str
    wave: int
    file_offer: str

    @property
    def message_id(self) -> str:
        return f"offer-{self.wave}-{self.person}"

    def event(self) -> dict[str, Any]:
        properties = {"wave": self.wave, "file_offer": self.file_offer}
        return _track(TRIGGER, self.person, self.message_id, properties)

    def decision_id(self, tenant_id: str) -> str:
        return decision_id(tenant_id, known_key(self.person), CAMPAIGN, self.message_id)


@dataclass(frozen=True)
class Purchase:
    """``number`` counts a person's purchases after one wave; ``amount`` as the file has it."""

    person: str
    wave: int
    number: int
    amount: float

    @property
    def micros(self) -> int:
        return round(self.amount * 1_000_000)

    def event(self, timestamp: str) -> dict[str, Any]:
        message_id = f"spent-{self.wave}-{self.number}-{self.person}"
        return _track(GOAL, self.person, message_id, {"revenue": self.amount}) | {"timestamp": timestamp}


def _track(name: str, person: str, message_id: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": person, "messageId": message_id, "properties": properties}


def present() -> bool:
    return all((FOLDER / name).exists() for name in ("transcript.parquet", "profile.json.gz", "portfolio.json.gz"))


class People:
    """The first ``n`` persons of the file, all of them where None."""

    def __init__(self, n: int | None = None) -> None:
        self.profiles = _lines("profile.json.gz")[:n]
        self.ids = [profile["id"] for profile in self.profiles]
        duckdb.sql("create or replace temp table people (person varchar)")
        duckdb.executemany("insert into people values (?)", [[person] for person in self.ids])

    def import_history(self, tenant: Tenant, folder: Path) -> int:
        """`whisperer import` of these persons' rows; how many."""
        mine = folder / "transcript.parquet"
        rows = f"from '{FOLDER / 'transcript.parquet'}' semi join people using (person) order by time, person, event"
        duckdb.sql(rows).write_parquet(str(mine))
        [report] = public_files.import_files(tenant, public_files.STARBUCKS, [mine], kills=0).reports
        assert report["rejected"] == {}, report
        sent: int = report["sent"]
        return sent

    def identities(self) -> list[dict[str, Any]]:
        """`identify` of each, with the file's traits and an address."""
        return [
            {"type": "identify", "userId": p["id"], "messageId": f"person-{p['id']}", "traits": _traits(number, p)}
            for number, p in enumerate(self.profiles)
        ]

    def withdrawn(self) -> list[str]:
        """Those who will have said that they want nothing."""
        return self.ids[::WITHDRAWN_EACH]

    def waves(self, n: int) -> list[tuple[list[Trigger], list[Purchase]]]:
        """The first ``n`` waves: who received an offer, and what they then spent."""
        transcript = f"(from '{FOLDER / 'transcript.parquet'}' semi join people using (person))"
        hours = f"select distinct time as hour from {transcript} where event = '{TRIGGER}' order by hour limit {n}"
        found = []
        for wave, (hour,) in enumerate(duckdb.sql(hours).fetchall()):
            offered = f"select person, offer_id from {transcript} where event = '{TRIGGER}' and time = {hour}"
            spent = f"""
                select person, row_number() over (partition by person order by time, amount), amount
                from {transcript} semi join ({offered}) using (person)
                where event = '{GOAL}' and time > {hour} and time <= {hour} + {SPENDING_HOURS} order by all
            """
            triggers = [
                Trigger(person, wave, offer) for person, offer in duckdb.sql(f"{offered} order by 1").fetchall()
            ]
            found.append(
                (triggers, [Purchase(p, wave, number, amount) for p, number, amount in duckdb.sql(spent).fetchall()])
            )
        return found


def definition(window_s: int) -> dict[str, Any]:
    """The campaign's JSON: each offer of the file by e-mail, and as many of those that give something by SMS as fit."""
    offers = [_offer(line) for line in _lines("portfolio.json.gz")]
    by_sms = [offer for offer in offers if offer["reward"] and "mobile" in offer["channels"]]
    arms = [("email", offer) for offer in offers] + [("sms", offer) for offer in by_sms]
    return {
        "trigger": {"event": TRIGGER},
        "audience": {"trait": "email", "op": "exists"},
        "goal": {"event": GOAL, "window_s": window_s, "reward": "revenue", "cap": CAP},
        "arms": [
            {
                "id": "-".join(str(part) for part in (channel, *(offer[name] for name in _ARM_NAME))),
                "channel": channel,
                "template": f"offer-{channel}",
                "offer": {name: offer[name] for name in _ARM_NAME},
                "cost": COSTS[channel],
            }
            for channel, offer in arms[:MAX_ARMS]
        ],
        "caps": [{"most": MOST_MESSAGES, "per": "rolling", "hours": 24}],
    }


def publish(tenant: Tenant, people: People, window_s: int) -> None:
    """Templates, withdrawn consents and the campaign, live on every shard when this returns."""
    for name, template in TEMPLATES.items():
        _ask(tenant, "templates", {"name": name, **template})
    for person in people.withdrawn():
        _ask(tenant, f"users/{person}/consent", {"channel": "*", "purpose": "marketing", "granted": False})
    _ask(tenant, "campaigns", {"name": CAMPAIGN, "publish": True, **definition(window_s)})


_ARM_NAME = ("type", "reward", "difficulty", "days")


def _offer(line: dict[str, Any]) -> dict[str, Any]:
    numbers = {"reward": line["reward"], "difficulty": line["difficulty"], "days": int(line["duration"])}
    return {"type": line["offer_type"], "channels": line["channels"], **numbers}


def _traits(number: int, profile: dict[str, Any]) -> dict[str, Any]:
    person, joined = profile["id"], str(profile["became_member_on"])
    stated = {name: profile[name] for name in ("income", "gender") if profile[name] is not None}
    if profile["age"] != UNKNOWN_AGE:
        stated["age"] = profile["age"]
    bounces = "bounce+" if number % BOUNCES_EACH == 1 else ""
    stated["email"] = f"{bounces}{person}@rewards.example.com"
    if int(person[-1], 16) % 3 == 0:
        stated["phone"] = f"+1555{int(person[:8], 16) % 10**7:07d}"
    return stated | {"became_member_on": f"{joined[:4]}-{joined[4:6]}-{joined[6:]}"}


def _ask(tenant: Tenant, resource: str, body: dict[str, Any]) -> None:
    answer = tenant.api.post(f"/v1/{resource}", json=body)
    assert answer.status_code in (200, 201), answer.text


def _lines(name: str) -> list[dict[str, Any]]:
    with gzip.open(FOLDER / name, "rt") as file:
        return [json.loads(line) for line in file]

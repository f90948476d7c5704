"""Draw who the users are: name, company, place, devices, tastes, all from (seed, slot, generation).

A *slot* is one place in the population; when its person has left for good, the next generation moves in as somebody
else. A person can be recreated at any time from the three numbers, so nothing about people needs storing.
"""

from __future__ import annotations

import hashlib
from bisect import bisect
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

ZONES: tuple[tuple[str, str, float], ...] = (
    ("America/New_York", "en-US", 0.18),
    ("America/Los_Angeles", "en-US", 0.12),
    ("America/Sao_Paulo", "pt-BR", 0.07),
    ("America/Mexico_City", "es-MX", 0.05),
    ("Europe/London", "en-GB", 0.12),
    ("Europe/Berlin", "de-DE", 0.09),
    ("Europe/Paris", "fr-FR", 0.07),
    ("Europe/Warsaw", "pl-PL", 0.04),
    ("Africa/Lagos", "en-NG", 0.04),
    ("Asia/Dubai", "ar-AE", 0.03),
    ("Asia/Kolkata", "en-IN", 0.08),
    ("Asia/Tokyo", "ja-JP", 0.06),
    ("Australia/Sydney", "en-AU", 0.05),
)
"""IANA zone, locale, share of users."""

FEATURES = (
    "Project Created",
    "Dashboard Viewed",
    "Report Exported",
    "File Uploaded",
    "Comment Added",
    "Integration Connected",
    "Member Invited",
    "Search Performed",
)
PHONE_SHARE, PUSH_SHARE = 0.8, 0.7
"""Shares of users who can be reached by text message and by push; everybody has an e-mail address."""

_FEATURE_WEIGHT = (1.0, 3.0, 0.8, 1.2, 1.6, 0.3, 0.3, 2.0)

_FIRST = """
Ada Amara Aiko Bruno Chidi Chloé Dana Diego Elif Emma Farid Fatima Grace Hana Hugo Ines Ivan Jonas José Kaja Kenji Lars
Layla Lena Liam Lucía Mateus Maya Mia Nadia Noah Nora Olivia Omar Priya Rafael Ravi Rosa Sam Sofia Tariq Tomás Uma Vera
Wei Yara Yuki Zoë Zofia Łukasz
"""
_LAST = """
Abe Adeyemi Almeida Andersson Bauer Becker Brown Costa Dubois Eze Fischer García Haddad Hughes Ito Johnson Jones Khan
Kim Kowalski Kumar Lefèvre López Martin Mbeki Meyer Mori Müller Nakamura Nguyen Nowak Okafor O'Neill Patel Pereira Rossi
Sato Schmidt Sharma Silva Singh Smith Souza Suzuki Taylor Wagner Wilson Wójcik Young Zhang
"""
_COMPANY_HEAD = "Acorn Bright Cedar Delta Ember Fjord Grove Harbor Iris Juniper Kite Lumen Maple North Opal Pine"
_COMPANY_TAIL = "Analytics Bikes Clinics Foods Freight Games Homes Labs Learning Media Motors Studio Systems Travel"
FIRST_NAMES, LAST_NAMES = tuple(_FIRST.split()), tuple(_LAST.split())
HEADS, TAILS = tuple(_COMPANY_HEAD.split()), tuple(_COMPANY_TAIL.split())

_ZONE_CUM = list(accumulate(share for _, _, share in ZONES))


@dataclass(slots=True, frozen=True)
class Person:
    """One user. Rates are visits per day; ``taste`` is the cumulative propensity over FEATURES."""

    user_id: str
    anonymous_id: str
    device_id: str
    lead_id: str | None
    name: str
    email: str
    phone: str | None
    push_token: str | None
    company: str
    company_id: str
    zone: int
    visits_per_day: float
    early_by_h: int
    weekend: float
    uses_app: bool
    patience: float
    taste: tuple[float, ...]

    @property
    def time_zone(self) -> str:
        return ZONES[self.zone][0]

    @property
    def locale(self) -> str:
        return ZONES[self.zone][1]


def person(seed: int, slot: int, generation: int, n_users: int) -> Person:
    """Return the person of a slot and generation."""
    digest = hashlib.blake2b(f"{seed}/{slot}/{generation}".encode(), digest_size=40).hexdigest()
    rng = np.random.default_rng([seed, slot, generation])
    draw = rng.random(12).tolist()
    normal = rng.standard_normal(2).tolist()
    weight = (rng.gamma(0.7, 1.0, len(FEATURES)) + 0.02) * _FEATURE_WEIGHT
    first, last = FIRST_NAMES[int(draw[0] * len(FIRST_NAMES))], LAST_NAMES[int(draw[1] * len(LAST_NAMES))]
    company = int(draw[2] ** 2 * max(1, n_users // 8))  # squared: a few large companies, many small ones
    head, tail = HEADS[company % len(HEADS)], TAILS[company // 16 % len(TAILS)]
    user_id = "usr_" + digest[:12]
    return Person(
        user_id=user_id,
        anonymous_id=_uuid(digest[12:44]),
        device_id=_uuid(digest[44:76]),
        lead_id="lead_" + digest[:12] if draw[3] < 0.06 else None,
        name=f"{first} {last}",
        email=f"{user_id[4:]}@{head.lower()}{company}.example",
        phone=_phone(digest[12:18]) if draw[8] < PHONE_SHARE else None,
        push_token="push_" + digest[20:52] if draw[9] < PUSH_SHARE else None,
        company=f"{head} {tail}",
        company_id=f"org_{company}",
        zone=min(bisect(_ZONE_CUM, draw[4]), len(ZONES) - 1),
        visits_per_day=min(8.0, 0.9 * float(np.exp(0.8 * normal[0]))),
        early_by_h=round(min(3.0, max(-3.0, 1.2 * normal[1]))),
        weekend=0.1 + 0.7 * draw[5] ** 2,
        uses_app=draw[6] < 0.3,
        patience=0.3 + 1.4 * draw[7],
        taste=tuple(np.cumsum(weight / weight.sum()).tolist()),
    )


def _phone(digits: str) -> str:
    """Return an E.164 number from 555-0100 to 555-0199, which North America reserves for fiction, in any area."""
    return f"+1{201 + int(digits[:4], 16) % 789}55501{int(digits[4:], 16) % 100:02d}"


def _uuid(digits: str) -> str:
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:32]}"

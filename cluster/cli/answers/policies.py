"""Policies and their history."""

from __future__ import annotations

import msgspec


class Needs(msgspec.Struct):
    hours: float
    decisions: int


class Rows(msgspec.Struct):
    rows: int
    last: str | None = msgspec.field(name="to")


class PolicyVersion(msgspec.Struct):
    version: int
    status: str
    kind: str
    data: Rows
    code_version: str
    digest: str


class Policy(msgspec.Struct):
    name: str
    live: int
    candidate: int | None
    stage: str | None
    share: float
    since: str | None
    needs: Needs | None
    versions: list[PolicyVersion]


class ListedPolicy(msgspec.Struct):
    name: str
    live: int
    candidate: int | None
    stage: str | None
    share: float
    since: str | None


class PolicyEvent(msgspec.Struct):
    at: str | None
    version: int
    action: str
    before: str | None
    after: str
    live: int
    by: str
    reason: str | None

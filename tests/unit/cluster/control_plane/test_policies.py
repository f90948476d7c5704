"""Policies in the control plane: steps, tallies that roll back, and a record that nobody changes."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.orm import Session

from cluster.control_plane import ControlPlane, Policy, policies, policy_record
from cluster.control_plane.documents import StepNeeds, policy_document
from cluster.control_plane.etags import StaleError
from cluster.control_plane.models import PolicyEventRow, PolicyVersionRow
from tests.support.keyring import KEYRING
from whisperer.errors import ConflictError, InvariantError, NotFoundError, RequestError
from whisperer.models.artifact import ArtifactFile, DataRange, Manifest
from whisperer.models.errors import RolloutError
from whisperer.models.guardrails import VersionTally
from whisperer.models.rollout import Evidence, Objection, Rollout

DAY = 86_400_000
GOOD = VersionTally(decisions=6_000, users=6_000, unsubscribed=6)


class Clock:
    now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(policies, "now_ms", made)
    monkeypatch.setattr(policy_record, "now_ms", made)
    return made


@pytest.fixture
def plane(plane_url: str) -> Iterator[ControlPlane]:
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        plane.create_tenant("acme")
        yield plane


def manifest(version: int = 1, name: str = "offers", **more: Any) -> Manifest:
    told: dict[str, Any] = {
        "kind": "uplift",
        "created_at": 1,
        "data": DataRange(0, 1, 10),
        "code_version": "abc",
        "features": ["recency_days"],
        "feature_registry": "f00",
        "parameters": {},
        "metrics": {"value": 1.5},
        "files": [ArtifactFile("model.ubj", 10, f"{version:064x}")],
        **more,
    }
    return Manifest(name=name, version=version, **told)


def evidence(clock: Clock, against: int = 0, *, promote: bool = True) -> Evidence:
    reasons = [] if promote else [Objection("may_be_worse", "the lower bound is -3 %")]
    return Evidence(promote, against, datetime.fromtimestamp(clock.now / 1000, UTC), reasons, {"low": 0.01})


def registered(plane: ControlPlane, *versions: int) -> None:
    for version in versions or (1,):
        plane.register_policy("acme", manifest(version), by="operator")


def tallied(plane: ControlPlane, tally: VersionTally, live: VersionTally | None = None) -> list[str]:
    state = plane.get_policy("acme", "offers").rollout
    told = {state.candidate: tally} if state.candidate is not None else {}
    found = plane.tally_policy("acme", "offers", state.since, told | ({state.live: live} if live else {}))  # type: ignore[arg-type]
    return [breach.guardrail for breach in found]


def stepped(plane: ControlPlane, clock: Clock, version: int = 1) -> Policy:
    policy = plane.get_policy("acme", "offers")
    clock.now += DAY
    if policy.rollout.candidate is None:
        return plane.promote_policy("acme", "offers", version, by="operator")
    tallied(plane, GOOD)
    told = evidence(clock, policy.rollout.live)
    return plane.promote_policy("acme", "offers", version, by="operator", evidence=told, reason="go on")


def live(plane: ControlPlane, clock: Clock, version: int = 1) -> None:
    for _ in range(4):
        stepped(plane, clock, version)


def statuses(plane: ControlPlane) -> dict[int, str]:
    return {one.version: one.status for one in plane.get_policy("acme", "offers").versions}


def test_a_version_goes_from_registered_to_live_step_by_step(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    seen = [statuses(plane)[1]]
    for _ in range(4):
        stepped(plane, clock)
        seen.append(statuses(plane)[1])
    assert seen == ["registered", "shadow", "5", "25", "live"]
    assert plane.get_policy("acme", "offers").rollout == Rollout(live=1, since=clock.now, past=(0,))


def test_every_step_is_in_the_record_with_its_evidence(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    live(plane, clock)
    plane.roll_back_policy("acme", "offers", by="key k_1", reason="complaints")
    history = plane.policy_history("acme", "offers")
    assert [(e.serial, e.action, e.before, e.after, e.live) for e in history] == [
        (6, "rolled_back", "live", "rolled_back", 0),
        (5, "promoted", "25", "live", 1),
        (4, "promoted", "5", "25", 0),
        (3, "promoted", "shadow", "5", 0),
        (2, "promoted", "registered", "shadow", 0),
        (1, "registered", "", "registered", 0),
    ]
    assert (history[0].by, history[0].reason) == ("key k_1", "complaints")
    assert history[1].evidence is not None
    assert (history[1].evidence["promote"], history[1].evidence["figures"]) == (True, {"low": 0.01})
    assert history[4].evidence is None


def test_what_a_step_lacks_is_said_and_nothing_changes(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    stepped(plane, clock)
    before, version = plane.get_policy("acme", "offers"), plane.version()
    clock.now += DAY
    for told, code in (
        (evidence(clock), "too_few_decisions"),
        (None, "verdict_missing"),
        (evidence(clock, promote=False), "gate_refused"),
        (evidence(clock, against=5), "verdict_of_another"),
    ):
        with pytest.raises(RolloutError) as caught:
            plane.promote_policy("acme", "offers", 1, by="operator", evidence=told)
        assert caught.value.code == code
        if code == "too_few_decisions":
            tallied(plane, GOOD)
    assert plane.get_policy("acme", "offers").rollout == before.rollout
    assert len(plane.policy_history("acme", "offers")) == 2
    assert plane.version() == version


def test_a_breach_rolls_back_by_itself_and_says_why(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    stepped(plane, clock)
    stepped(plane, clock)
    version = plane.version()
    assert tallied(plane, VersionTally(decisions=500, users=500, failed=2)) == []
    assert plane.version() == version  # tallies are nobody's configuration
    assert tallied(plane, VersionTally(decisions=2_000, users=500, failed=200)) == ["failed"]
    assert plane.version() > version
    policy = plane.get_policy("acme", "offers")
    assert (policy.rollout.candidate, policy.rollout.live, policy.tallies) == (None, 0, {})
    entry = plane.policy_history("acme", "offers")[0]
    assert (entry.action, entry.by, entry.before) == ("rolled_back", "guardrail", "5")
    assert "200 of 2,000 decisions failed" in entry.reason
    assert entry.evidence is not None
    assert entry.evidence["tallies"]["1"]["failed"] == 200


def test_a_live_version_that_breaks_goes_back_and_takes_its_candidate_along(plane: ControlPlane, clock: Clock) -> None:
    registered(plane, 1, 2)
    live(plane, clock)
    stepped(plane, clock, 2)
    assert tallied(plane, GOOD, VersionTally(decisions=2_000, slow=900)) == ["slow"]
    assert plane.get_policy("acme", "offers").rollout == Rollout(live=0, since=clock.now)
    assert statuses(plane) == {1: "rolled_back", 2: "rolled_back"}
    assert [entry.version for entry in plane.policy_history("acme", "offers")[:2]] == [2, 1]


def test_what_is_built_in_is_compared_with_and_never_rolled_back(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    stepped(plane, clock)
    stepped(plane, clock)
    assert tallied(plane, GOOD, VersionTally(decisions=20_000, failed=9_000)) == []
    assert plane.get_policy("acme", "offers").rollout.candidate == 1


def test_tallies_of_another_stage_or_version_are_refused(plane: ControlPlane, clock: Clock) -> None:
    registered(plane, 1, 2)
    stepped(plane, clock)
    since = plane.get_policy("acme", "offers").rollout.since
    for at, told in ((since - 1, {1: GOOD}), (since, {2: GOOD})):
        with pytest.raises(RolloutError) as caught:
            plane.tally_policy("acme", "offers", at, told)
        assert caught.value.code == "tallies_of_another_stage"
    stepped(plane, clock)
    assert plane.get_policy("acme", "offers").tallies == {}  # a stage begins with nothing counted


def test_a_version_that_was_replaced_is_retired_and_gone_back_to(plane: ControlPlane, clock: Clock) -> None:
    registered(plane, 1, 2)
    live(plane, clock)
    live(plane, clock, 2)
    assert statuses(plane) == {2: "live", 1: "retired"}
    plane.roll_back_policy("acme", "offers", by="operator")
    assert statuses(plane) == {2: "rolled_back", 1: "live"}


def test_registering_again_changes_nothing_and_another_artifact_is_a_conflict(plane: ControlPlane) -> None:
    registered(plane)
    version = plane.version()
    registered(plane)
    assert plane.version() == version
    with pytest.raises(ConflictError) as caught:
        plane.register_policy("acme", manifest(code_version="other"), by="operator")
    assert caught.value.code == "version_exists"
    with pytest.raises(NotFoundError) as missing:
        plane.promote_policy("acme", "offers", 9, by="operator")
    assert missing.value.code == "policy_version_not_found"


def test_a_step_on_top_of_what_was_not_read_is_refused(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    read = plane.get_policy("acme", "offers").etag
    plane.promote_policy("acme", "offers", 1, by="operator", if_match=read)
    for step in (plane.roll_back_policy, lambda *a, **k: plane.promote_policy(*a, 1, **k)):
        with pytest.raises(StaleError):
            step("acme", "offers", by="operator", if_match=read)
    assert plane.get_policy("acme", "offers").rollout.candidate == 1


def test_of_two_who_promote_at_once_one_does(plane: ControlPlane) -> None:
    registered(plane, 1, 2)

    def tried(version: int) -> bool:
        try:
            return plane.promote_policy("acme", "offers", version, by="operator").rollout.candidate == version
        except RolloutError:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(tried, (1, 2))) == [False, True]


def test_the_record_cannot_be_changed(plane: ControlPlane) -> None:
    registered(plane)
    for kind, field in ((PolicyEventRow, "reason"), (PolicyVersionRow, "digest")):
        with Session(plane._engine) as session:
            row = session.query(kind).one()
            setattr(row, field, "other")
            with pytest.raises(InvariantError):
                session.flush()
        with Session(plane._engine) as session:
            session.delete(session.query(kind).one())
            with pytest.raises(InvariantError):
                session.flush()


def test_policies_of_one_tenant_are_not_seen_by_another(plane: ControlPlane) -> None:
    plane.create_tenant("globex")
    registered(plane)
    assert plane.list_policies("globex") == []
    for call in (plane.get_policy, plane.policy_history):
        with pytest.raises(NotFoundError):
            call("globex", "offers")


def test_replicas_read_who_decides_in_one_go(plane: ControlPlane, clock: Clock) -> None:
    registered(plane, 1, 2, 3)
    plane.register_policy("acme", manifest(name="other"), by="operator")
    live(plane, clock)
    stepped(plane, clock, 2)
    tenant = plane.get_tenant("acme").id
    found = plane.rollouts()
    state, digests = found[(tenant, "offers")]
    assert (state.live, state.candidate, sorted(digests)) == (1, 2, [1, 2])
    assert found[(tenant, "other")] == (Rollout(since=found[(tenant, "other")][0].since), {})


def test_evidence_holds_figures_and_not_data(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    told = Evidence(True, 0, datetime.now(UTC), [], {"rows": list(range(20_000))})
    with pytest.raises(RequestError) as caught:
        plane.promote_policy("acme", "offers", 1, by="operator", evidence=told)
    assert caught.value.code == "evidence_too_large"


def test_a_document_says_what_the_next_step_needs(plane: ControlPlane, clock: Clock) -> None:
    registered(plane)
    stepped(plane, clock)
    stepped(plane, clock)
    document = policy_document(plane.get_policy("acme", "offers"))
    assert (document.stage, document.share, document.needs) == ("5", 0.05, StepNeeds(24.0, 1_000))
    assert document.versions[0].data.rows == 10

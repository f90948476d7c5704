from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from whisperer.models.errors import RolloutError
from whisperer.models.rollout import BUILT_IN, STAGES, Evidence, Objection, Rollout, assignments, promote, roll_back

DAY = 86_400_000
NAMES = [stage.name for stage in STAGES]


def verdict(
    at: int, *, promote: bool = True, against: int = BUILT_IN, reasons: list[Objection] | None = None
) -> Evidence:
    return Evidence(promote, against, datetime.fromtimestamp(at / 1000, UTC), reasons or [])


def step(state: Rollout, version: int, now: int) -> Rollout:
    return promote(state, version, now, evidence=verdict(now, against=state.live), n_decisions=10_000)


def live(*versions: int) -> Rollout:
    state, now = Rollout(), 0
    for version in versions:
        for _ in range(4):
            now += DAY
            state = step(state, version, now)
    return state


def code_of(state: Rollout, now: int, **more: object) -> str:
    with pytest.raises(RolloutError) as caught:
        promote(state, 1, now, **more)  # type: ignore[arg-type]
    return caught.value.code


def test_a_version_passes_every_stage_and_is_live() -> None:
    state, seen = Rollout(), []
    for day in range(1, 5):
        state = step(state, 7, day * DAY)
        seen.append((state.live, state.candidate, state.stage, state.share))
    assert seen == [(0, 7, "shadow", 0.0), (0, 7, "5", 0.05), (0, 7, "25", 0.25), (7, None, "", 0.0)]
    assert state == Rollout(live=7, since=4 * DAY, past=(0,))


def test_shadow_needs_no_verdict_as_it_decides_for_nobody() -> None:
    assert promote(Rollout(live=3), 4, 5) == Rollout(live=3, candidate=4, stage="shadow", since=5)


@pytest.mark.parametrize("at", range(3))
def test_a_step_into_traffic_names_what_it_lacks(at: int) -> None:
    stage = STAGES[at]
    state = Rollout(live=BUILT_IN, candidate=1, stage=stage.name, since=1_000)
    now = 1_000 + stage.min_ms
    good = {"evidence": verdict(now), "n_decisions": stage.min_decisions}
    assert code_of(state, now - 1, **good) == "stage_too_short"
    assert code_of(state, now, **good | {"n_decisions": stage.min_decisions - 1}) == "too_few_decisions"
    assert code_of(state, now, **good | {"evidence": None}) == "verdict_missing"
    assert code_of(state, now, **good | {"evidence": verdict(now, against=9)}) == "verdict_of_another"
    assert code_of(state, now, **good | {"evidence": verdict(999)}) == "verdict_too_old"
    assert code_of(state, now, **good | {"evidence": verdict(now + 1)}) == "verdict_too_old"
    assert code_of(state, now, **good | {"evidence": verdict(now, promote=False)}) == "gate_refused"
    assert promote(state, 1, now, **good) != state  # type: ignore[arg-type]


def test_the_gates_reasons_are_in_the_refusal() -> None:
    state = Rollout(candidate=1, stage="5", since=0)
    refusal = verdict(DAY, promote=False, reasons=[Objection("overlap", "effective sample size 2 of 10,000")])
    with pytest.raises(RolloutError, match="effective sample size 2"):
        promote(state, 1, DAY, evidence=refusal, n_decisions=1_000)


def test_one_candidate_at_a_time() -> None:
    state = promote(Rollout(), 1, 0)
    with pytest.raises(RolloutError) as caught:
        promote(state, 2, DAY)
    assert caught.value.code == "another_candidate"
    assert code_of(Rollout(live=1), 0) == "version_is_live"


def test_a_candidate_rolled_back_leaves_everybody_to_the_live_version() -> None:
    state = step(step(live(1), 2, 10 * DAY), 2, 11 * DAY)
    back = roll_back(state, 12 * DAY)
    assert back == Rollout(live=1, since=12 * DAY, past=(0,))
    assert promote(back, 2, 13 * DAY).stage == "shadow"  # it begins again, and skips nothing


def test_the_live_version_goes_back_to_the_one_before_and_takes_its_candidate_along() -> None:
    state = promote(live(1, 2), 3, 20 * DAY)
    assert roll_back(state, 21 * DAY, version=2) == Rollout(live=1, since=21 * DAY, past=(0,))
    assert roll_back(roll_back(state, 0, version=2), 0).live == BUILT_IN


def test_what_was_rolled_back_is_never_gone_back_to() -> None:
    state = live(1, 2, 1)
    assert state.past == (0, 1, 2)
    state = roll_back(state, 0)
    assert (state.live, state.past) == (2, (0,))


def test_there_is_nothing_before_what_is_built_in() -> None:
    for version, code in ((None, "nothing_to_roll_back"), (0, "nothing_to_roll_back"), (5, "version_not_serving")):
        with pytest.raises(RolloutError) as caught:
            roll_back(Rollout(), 0, version)
        assert caught.value.code == code


class Steps(RuleBasedStateMachine):
    """Any order of calls, allowed or not."""

    def __init__(self) -> None:
        super().__init__()
        self.state, self.now = Rollout(), 0

    @rule(
        version=st.integers(1, 4),
        hours=st.integers(0, 60),
        n=st.sampled_from([0, 1_000, 9_000]),
        says=st.booleans(),
        against=st.integers(0, 4),
    )
    def promotes(self, version: int, hours: int, n: int, says: bool, against: int) -> None:
        self.now += hours * 3_600_000
        before, evidence = self.state, verdict(self.now, promote=says, against=against)
        try:
            self.state = promote(before, version, self.now, evidence=evidence, n_decisions=n)
        except RolloutError:
            return
        if before.candidate is None:
            assert (self.state.candidate, self.state.stage, self.state.live) == (version, "shadow", before.live)
            return
        assert says
        assert against == before.live
        reached = NAMES.index(before.stage) + 1
        if reached < len(NAMES):
            assert (self.state.candidate, self.state.stage) == (version, NAMES[reached])
        else:
            assert (self.state.live, self.state.past[-1]) == (version, before.live)

    @rule(version=st.none() | st.integers(0, 4))
    def rolls_back(self, version: int | None) -> None:
        before = self.state
        meant = version if version is not None else before.live if before.candidate is None else before.candidate
        if meant != before.candidate and (meant != before.live or meant == BUILT_IN):
            with pytest.raises(RolloutError):
                roll_back(before, self.now, version)
            return
        self.state = roll_back(before, self.now, version)  # always possible while the version takes part
        assert self.state.candidate is None
        assert meant != self.state.live
        assert meant == before.candidate or meant not in self.state.past

    @invariant()
    def one_is_live_and_another_may_come(self) -> None:
        state = self.state
        assert state.candidate != state.live
        assert (state.candidate is None) == (state.stage == "")
        assert 0 <= state.share <= 0.25
        if state.live != BUILT_IN:
            assert roll_back(state, self.now, state.live).live != state.live


Steps.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestSteps = Steps.TestCase


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=40, unique=True), st.text(max_size=8))
def test_a_user_keeps_the_version_from_stage_to_stage(ids: list[str], salt: str) -> None:
    keys = [f"u:{id}" for id in ids]
    had: set[str] = set()
    for stage in NAMES:
        drawn = assignments(Rollout(live=1, candidate=2, stage=stage), "offers", keys, salt)
        has = {key for key, version in zip(keys, drawn, strict=True) if version == 2}
        assert had <= has
        had = has
    assert set(assignments(Rollout(live=2), "offers", keys, salt)) == {2}


def test_shares_are_as_stated_and_another_candidate_meets_other_users() -> None:
    keys = [f"u:{n}" for n in range(20_000)]
    taken = {}
    for candidate in (2, 3):
        for stage, share in (("shadow", 0.0), ("5", 0.05), ("25", 0.25)):
            drawn = assignments(Rollout(live=1, candidate=candidate, stage=stage), "offers", keys, "salt")
            assert abs(drawn.count(candidate) / len(keys) - share) < 0.01
            taken[candidate] = {key for key, version in zip(keys, drawn, strict=True) if version == candidate}
    both = len(taken[2] & taken[3]) / len(keys)
    assert abs(both - 0.25**2) < 0.01
    # Pinned: another draw would change every user's version in the middle of a stage.
    drawn = assignments(Rollout(live=1, candidate=2, stage="25"), "offers", keys[:20], "salt")
    assert [n for n, version in enumerate(drawn) if version == 2] == [10, 11, 13, 14, 16]

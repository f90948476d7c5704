"""Every feature's entry: a finite number or none, the same every time, moved by the clock as it says and by nothing
else, defined for a user of whom nothing is known, documented, and never changed under the same version.

A new entry in `whisperer.profiles.features.FEATURES` or `whisperer.journeys.contact.CONTACT` is tested here as it
stands; `python -m tests.unit.registries.feature_cases` records its values.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.registries.feature_cases import (
    N_USERS,
    NOW,
    UNKNOWN,
    now,
    of_contact,
    of_profile,
    passed,
    released,
    table,
)
from whisperer.decisions.context import NAMES
from whisperer.journeys import contact
from whisperer.journeys.contact import CONTACT, ContactSpec
from whisperer.profiles import features
from whisperer.profiles.features import FEATURES, REPLAYED, FeatureSpec, feature_hash
from whisperer.segments import compile, parse
from whisperer.shard.decision.features import SPECS
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.units import DAY_MS, HOUR_MS

DOCS = Path(__file__).parents[3] / "docs"
ALL = np.arange(N_USERS)
TABLE = table()

every_feature = pytest.mark.parametrize("spec", FEATURES.values(), ids=FEATURES)
every_contact = pytest.mark.parametrize("spec", CONTACT.values(), ids=CONTACT)
each = pytest.mark.parametrize("spec", [*FEATURES.values(), *CONTACT.values()], ids=[*FEATURES, *CONTACT])


def same(a: object, b: object) -> bool:
    return bool(np.array_equal(np.asarray(a, float), np.asarray(b, float), equal_nan=True))


def of(spec: FeatureSpec, at: int = NOW, rows: np.ndarray = ALL) -> np.ndarray:
    return features.compute(spec.name, TABLE, rows, at)


@each
def test_it_says_what_it_is(spec: FeatureSpec | ContactSpec) -> None:
    assert re.fullmatch(r"[a-z]+([_.][a-z0-9]+)*", spec.name)
    assert re.fullmatch(r"[a-z]+( [a-z]+)*", spec.unit)
    assert 10 <= len(spec.description) <= 100
    assert not re.search(r"[`|\n]|\.$", spec.description)
    assert spec.version >= 1
    assert not FEATURES.keys() & CONTACT.keys()


@every_feature
def test_it_is_a_finite_number_or_none_for_every_sort_of_user(spec: FeatureSpec) -> None:
    for at in (0, NOW, NOW + 4_000 * DAY_MS):
        found = of(spec, at)
        assert (found.dtype, found.shape) == (np.float64, (N_USERS,))
        assert not np.isinf(found).any()
    assert np.isfinite(of(spec)).any(), "it has a value for nobody"
    assert of(spec, rows=ALL[:0]).shape == (0,)


@every_feature
def test_it_is_the_same_every_time_and_whoever_else_is_there(spec: FeatureSpec) -> None:
    found = of(spec)
    assert of(spec).tobytes() == found.tobytes()
    assert of(spec, rows=ALL[::-1])[::-1].tobytes() == found.tobytes()
    for row in (UNKNOWN, 1, 2, 17):
        assert of(spec, rows=np.array([row])).tobytes() == found[row].tobytes()
        assert features.matrix((spec.name,), TABLE, np.array([row]), NOW)[0, 0].tobytes() == found[row].tobytes()


@every_feature
def test_of_a_user_of_whom_nothing_is_known_it_stays_as_it_is(spec: FeatureSpec) -> None:
    values = {repr(of(spec, NOW + days * DAY_MS)[UNKNOWN]) for days in range(0, 200, 7)}
    assert len(values) == 1
    [value] = values
    assert value in ("np.float64(0.0)", "np.float64(nan)"), "a user without events has nothing, or no value"


@every_feature
def test_computing_it_changes_nothing(spec: FeatureSpec) -> None:
    before = {name: TABLE[name].tobytes() for name in TABLE.names}
    of(spec)
    assert before == {name: TABLE[name].tobytes() for name in before}


@every_feature
def test_the_clock_moves_it_as_it_says(spec: FeatureSpec) -> None:
    midnight = NOW - NOW % DAY_MS + DAY_MS
    later = (NOW + HOUR_MS, midnight - 1, midnight, midnight + 40 * DAY_MS + HOUR_MS)
    for at in later:
        found, then = of(spec, at), of(spec)
        if spec.clock == "none":
            assert same(found, then)
        elif spec.clock == "day":
            assert same(found, of(spec, at - at % DAY_MS))
        else:
            np.testing.assert_allclose(found - then, np.where(np.isnan(then), np.nan, (at - NOW) / DAY_MS))
    if spec.clock == "day":
        assert not same(of(spec, later[-1]), of(spec)), "it never moves: its clock is none"


@every_feature
def test_a_segment_may_ask_for_it(spec: FeatureSpec) -> None:
    compile(parse({"feature": spec.name, "op": "gte", "value": 0.5}, FEATURES), FEATURES)
    compile(parse({"feature": spec.name, "op": "exists"}, FEATURES), FEATURES)


@every_feature
def test_people_see_it_as_json_and_counts_as_integers(spec: FeatureSpec) -> None:
    for row in (UNKNOWN, 1, 5):
        shown = json.loads(json.dumps(features.describe(TABLE, [row], NOW)[0]))[spec.name]
        value = of(spec)[row]
        assert shown is None if math.isnan(value) else shown == pytest.approx(value, abs=1e-6)
        assert isinstance(shown, int) == (spec.is_whole and shown is not None)


@every_feature
def test_it_is_documented_with_its_unit_and_meaning(spec: FeatureSpec) -> None:
    assert f"| `{spec.name}` | {spec.unit} | {spec.description} |" in (DOCS / "users.md").read_text()


@every_feature
def test_models_are_trained_on_it_unless_a_model_said_it(spec: FeatureSpec) -> None:
    assert (spec.name in REPLAYED) != spec.is_score


# -- contact and the wall clock ---------------------------------------------------------------------------------------


@every_contact
def test_contact_is_a_finite_number_or_none_the_same_every_time(spec: ContactSpec) -> None:
    found = of_contact(spec.name)
    assert found == of_contact(spec.name)
    assert all(value is None or math.isfinite(value) for value in found)
    assert any(value is not None for value in found)


@every_contact
def test_with_a_user_we_never_wrote_to_nothing_passed(spec: ContactSpec) -> None:
    if spec not in contact.CLOCK:
        assert of_contact(spec.name)[0] in (0.0, None)


@every_contact
def test_contact_is_logged_with_decisions(spec: ContactSpec) -> None:
    assert spec.name in NAMES


@every_contact
def test_contact_is_documented(spec: ContactSpec) -> None:
    page = (DOCS / "features.md").read_text()
    example = spec.name
    for channel in CHANNELS:
        example = re.sub(rf"(^|_){channel}(_|$)", r"\1email\2", example)
    assert f"`{example}`" in page
    if example != spec.name:
        assert re.search(rf"^\| `{example}` \| {spec.unit} \| ", page, re.MULTILINE)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 100), st.integers(-3, 400))
def test_contact_in_the_future_or_long_ago_is_still_a_number(case: int, days: int) -> None:
    sends, noticed = passed()[case % len(passed())]
    overall, by_channel = contact.counts(sends, noticed, NOW + days * DAY_MS)
    assert not any(math.isinf(value) or value < 0 for value in (*overall, *by_channel))


# -- definitions ------------------------------------------------------------------------------------------------------


@each
def test_under_one_version_its_values_never_change(spec: FeatureSpec | ContactSpec) -> None:
    """What was trained on a definition is applied to it: whoever changes one raises its version."""
    key = f"{spec.name}@{spec.version}"
    assert key in released(), "record it: python -m tests.unit.registries.feature_cases"
    then = np.array(released()[key], float)
    values = of_profile(spec.name) if isinstance(spec, FeatureSpec) else of_contact(spec.name)
    np.testing.assert_allclose(
        np.array(values[: len(then)], float), then, rtol=1e-9, atol=1e-12, err_msg=f"raise the version of {key}"
    )


@each
def test_a_new_version_is_another_definition(spec: FeatureSpec | ContactSpec) -> None:
    raised = replace(spec, version=spec.version + 1)
    assert feature_hash([raised]) != feature_hash([spec])


def test_of_each_name_that_is_logged_there_is_one_definition() -> None:
    assert tuple(SPECS) == NAMES
    assert len(set(NAMES)) == len(NAMES)
    assert set(now()) <= set(released())

"""What docs/features.md says is so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from whisperer.journeys.contact import CONTACT
from whisperer.profiles.features import FEATURES
from whisperer.profiles.scores import HORIZON_DAYS, STILL
from whisperer.segments import parse_predicate
from whisperer.settings import ScoringSettings
from whisperer.shard.people.scoring import CHUNK

PAGE = (Path(__file__).parents[4] / "docs" / "features.md").read_text()
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, object] = {}
    for code in CODE:
        exec(code.replace("/data/warehouse", str(tmp_path / "warehouse")), known)


def test_the_features_of_contact_are_those_of_the_code() -> None:
    for name in (row.split("`")[1] for row in PAGE.splitlines() if row.startswith("| `email")):
        assert CONTACT[name].unit == next(row for row in PAGE.splitlines() if f"`{name}`" in row).split(" | ")[1]
    for spec in CONTACT.values():
        assert f"`{spec.name}`" in PAGE or any(
            f"_{channel}" in spec.name or spec.name.startswith(channel)
            for channel in ("sms", "push", "webhook", "inapp")
        )


def test_figures_are_those_of_the_code() -> None:
    for told in (f"nothing within {HORIZON_DAYS} days", f"{CHUNK:,} rows", f"moved by at most {STILL} "):
        assert told in PAGE, told
    assert (ScoringSettings().first_after_s, ScoringSettings().interval_s) == (60, 3600)
    (predicate,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    parse_predicate(json.loads(predicate), FEATURES)

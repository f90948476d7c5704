"""The Python of docs/simulator.md runs, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cluster.demo import campaign as demo_campaign
from training.simulator.effects import ARMS

DOC = Path(__file__).parents[3] / "docs" / "simulator.md"


def test_the_documented_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    for code in re.findall(r"```python\n(.*?)```", DOC.read_text(), re.S):
        exec(compile(code, str(DOC), "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all("sim-" in line for line in lines[:3])
    assert lines[3].startswith("2 4")
    assert lines[4] == "(5000,) (5000,) True"


def test_the_documented_campaign_is_the_demos() -> None:
    text = DOC.read_text()
    assert all(f"| `{arm}` |" in text for arm in ARMS[1:])
    for name in (demo_campaign.NAME, demo_campaign.TRIGGER_EVENT, demo_campaign.GOAL_EVENT):
        assert f"`{name}`" in text
    assert f"within {demo_campaign.WINDOW_S} seconds" in text

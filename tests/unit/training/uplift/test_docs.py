"""The page about the uplift model is true: its code runs, and it names every module."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "uplift.md").read_text()


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_runs(code: str) -> None:
    exec(code, {})


def test_every_module_is_on_the_page() -> None:
    modules = {path.name for path in (ROOT / "training" / "uplift").glob("*.py")} - {"__init__.py"}
    assert modules == set(re.findall(r"\| `(\w+\.py)` \|", PAGE))

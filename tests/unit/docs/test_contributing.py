"""CONTRIBUTING.md has short recipes, and the hooks check what `make lint` does."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.unit.docs.naming import ROOT

RECIPES = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Recipes\n")[2].split("\n### ")[1:]
MAKEFILE = (ROOT / "Makefile").read_text()
HOOKS: list[dict[str, Any]] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.partition("\n")[0])
def test_a_recipe_is_short_and_ends_with_the_tests_that_hold_it(recipe: str) -> None:
    title, *lines = [line for line in recipe.splitlines() if line]
    assert len(lines) <= 15, title
    assert "Tests: `tests/" in recipe.rpartition("\n\n")[2], title


def test_there_is_a_recipe_for_each_usual_thing() -> None:
    titles = {recipe.partition("\n")[0].split()[-1] for recipe in RECIPES}
    assert titles == {
        "channel", "provider", "metric", "setting", "feature", "record", "letter", "command", "route",
    }  # fmt: skip


NOT_HOOKED = ["python -m tests.audit advisories", "python -m tests.audit sbom"]
"""They look at the lock and at what is installed, not at the files of a commit."""


def test_the_hooks_are_those_of_make_lint_and_make_audit() -> None:
    command = r"(ruff \w+|python -m tests\.audit \w+|[\w-]+)"
    commands = [
        found
        for target in ("lint", "audit")
        for recipe in re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
        for found in re.findall(rf"\$\(BIN\)/{command}", recipe)
    ]
    hooked = [re.match(rf"\.venv/bin/{command}", hook["entry"]) for hook in HOOKS]
    assert [match and match[1] for match in hooked] == [found for found in commands if found not in NOT_HOOKED]
    assert set(NOT_HOOKED) < set(commands)


def test_the_hooks_look_at_what_make_looks_at() -> None:
    checked = re.search(r"^CHECKED := (.*)$", MAKEFILE, re.MULTILINE)
    assert checked is not None
    for folder in checked[1].split():
        for hook in HOOKS:
            looks = re.search(hook.get("files", ""), f"{folder}/module.py") is not None
            assert looks or (folder == "tests" and not hook.get("pass_filenames", True)), (hook["id"], folder)

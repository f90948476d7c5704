"""Each rule about insecure code is looked at by ruff or by bandit, and each exception says why."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.audit import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
PACKAGES = ("whisperer", "actors", "serve_apps", "training", "cluster")
IMPORTS = {"B403", "B404", "B405"}
"""That something is imported; ruff looks at what is done with it."""


def bandit_rules() -> set[str]:
    """In a process of its own: bandit calls a library in a way that warns."""
    asked = """
from bandit.core.extension_loader import MANAGER
print(*(plugin.plugin._test_id for plugin in MANAGER.plugins), *MANAGER.blacklist_by_id)
"""
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    return set(told.stdout.split())


def ruff_rules() -> set[str]:
    """What ruff has for a number of bandit's, in the releases' stable part, which is what is switched on."""
    told = subprocess.run(
        [sys.executable, "-m", "ruff", "rule", "--all", "--output-format", "json"], capture_output=True
    )
    rules = [rule for rule in json.loads(told.stdout) if "Stable" in rule["status"]]
    return {f"B{rule['code'][1:]}" for rule in rules if re.fullmatch(r"S\d+", rule["code"] or "")}


def test_bandit_leaves_out_what_ruff_looks_at_and_nothing_else() -> None:
    assert "S" in PROJECT["ruff"]["lint"]["select"]
    assert [rule for rule in PROJECT["ruff"]["lint"]["ignore"] if rule.startswith("S")] == ["S101"]
    assert set(PROJECT["bandit"]["skips"]) == (bandit_rules() & ruff_rules()) | IMPORTS
    assert {"B613", "B614", "B615"} <= bandit_rules() - set(PROJECT["bandit"]["skips"])


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ("import torch\nmodel = torch.load('model.pt')\n", "B614"),
        ("name = '\N{RIGHT-TO-LEFT OVERRIDE}'\n", "B613"),
        ("import subprocess\nsubprocess.run('ls ' + given, shell=True)\n", "S602"),
        ("import pickle\nvalue = pickle.loads(given)\n", "S301"),
        ("rows = connection.execute(f'SELECT * FROM users WHERE name = {given}')\n", "S608"),
    ],
)
def test_insecure_code_is_reported_by_one_of_the_two(tmp_path: Path, code: str, rule: str) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text(code)
    configuration = str(ROOT / "pyproject.toml")
    bandit = [sys.executable, "-m", "bandit", "--quiet", "--configfile", configuration, str(planted)]
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--no-cache",
        "--config",
        configuration,
        "--select",
        "S",
        str(planted),
    ]
    told = subprocess.run(bandit if rule.startswith("B") else ruff, capture_output=True, text=True)
    assert told.returncode == 1
    assert rule in told.stdout


def test_each_exception_says_why() -> None:
    silenced = re.compile(r"# (?:noqa: (?:[A-Z]+\d+, )*S\d+(?:, [A-Z]+\d+)*|nosec(?: B\d+)*)(.*)$", re.MULTILINE)
    found = [
        (path, reason.strip(" -:"))
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for reason in silenced.findall(path.read_text())
    ]
    assert len(found) > 20
    assert [str(path) for path, reason in found if not reason] == []

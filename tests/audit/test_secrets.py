"""A key that is put into a file is reported, without being shown; what was judged has a reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.audit import ROOT, accepted, secrets
from tests.audit.__main__ import main

# Put together here, so that this file has none.
AWS_KEY = "AKIA" + "Z7QK3M5T2RWX9LPD"
PHRASE = "correct" + "-horse-" + "battery"
PRIVATE_KEY = "-----BEGIN " + "RSA PRIVATE KEY-----"


PLANTED = [
    (f"aws = '{AWS_KEY}'", AWS_KEY, "AWS Access Key"),
    (f"password = '{PHRASE}'", PHRASE, "Secret Keyword"),
    (PRIVATE_KEY, PRIVATE_KEY, "Private Key"),
    (f"url = 'redis://me:{PHRASE}@there'", PHRASE, "Basic Auth Credentials"),
]


def test_secrets_that_are_put_into_a_file_are_reported_and_not_shown(tmp_path: Path) -> None:
    planted = tmp_path / "planted.py"
    planted.write_text("".join(f"{line}\n" for line, _, _ in PLANTED))
    command = [sys.executable, "-m", "tests.audit", "secrets", str(planted)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 1
    for number, (_, hidden, kind) in enumerate(PLANTED, start=1):
        assert f"{planted}:{number}: {kind}" in ended.stderr
        assert hidden not in ended.stderr + ended.stdout


def test_a_file_without_secrets_passes(tmp_path: Path) -> None:
    clean = tmp_path / "clean.py"
    clean.write_text("password = read_password()\n")
    assert secrets.audit([clean]) == 0


def test_a_string_that_was_judged_is_judged_in_its_file_only(tmp_path: Path) -> None:
    judged = ROOT / "tests" / "faults" / "test_redis_journal.py"
    assert secrets.audit([judged]) == 0
    copied = tmp_path / judged.name
    copied.write_bytes(judged.read_bytes())
    assert secrets.audit([copied]) == 1


def test_a_file_that_is_not_there_is_an_error() -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["secrets", "no_such_file.py"])


def test_what_was_judged_has_a_reason_and_is_not_shown() -> None:
    assert secrets._without_reasons(secrets.read_baseline()) == []
    assert accepted("secrets")
    without = secrets._without_reasons({secrets.String("somewhere.py", "Private Key", "0"): 0})
    assert without[0].startswith("somewhere.py needs a reason")
    for found in json.loads(secrets.BASELINE.read_text())["results"].values():
        assert all(set(each) <= {"type", "filename", "hashed_secret", "is_verified", "is_secret"} for each in found)


def test_no_key_that_is_found_is_tried_out_at_its_provider() -> None:
    filters = [each["path"] for each in json.loads(secrets.BASELINE.read_text())["filters_used"]]
    assert filters
    assert not [path for path in filters if "verification" in path]


def test_a_judged_string_that_is_gone_is_reported() -> None:
    judged = {secrets.String("whisperer/ids.py", "Private Key", "0"): 0}
    assert secrets._gone(judged, {})
    assert not secrets._gone(judged, judged)


def test_all_that_git_would_commit_is_looked_at() -> None:
    files = secrets.committed()
    assert {ROOT / "whisperer" / "ids.py", ROOT / "README.md", ROOT / "cluster" / "settings.toml"} <= set(files)
    assert not [path for path in files if ROOT / "build" in path.parents or ROOT / ".git" in path.parents]

"""`whisperer policy` on an installation that does not run: straight in the store of models and the control plane."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster.cli import entry
from tests.unit.cluster.cli.test_cli import Cli, acme, cli  # noqa: F401  fixtures
from tests.unit.whisperer.models.artifacts import artifact
from whisperer.models.artifact import MANIFEST

OF_ACME = ("--tenant", "acme")


def test_a_version_is_registered_promoted_and_rolled_back_while_nothing_runs(acme: Cli, tmp_path: Path) -> None:  # noqa: F811
    folder = str(artifact(tmp_path / "offers-1"))
    made = acme.json("policy", "register", folder, *OF_ACME)
    assert (made["name"], made["live"], made["versions"][0]["status"]) == ("offers", 0, "registered")
    assert (acme.data_dir / "models").is_dir()
    assert acme.json("policy", "promote", "offers", "1", *OF_ACME, "--reason", "try it")["stage"] == "shadow"
    assert [p["candidate"] for p in acme.json("policy", "list", *OF_ACME)] == [1]
    assert "at stage shadow" in acme("policy", "show", "offers", *OF_ACME).stderr
    assert acme.json("policy", "rollback", "offers", *OF_ACME)["candidate"] is None
    history = acme.json("policy", "history", "offers", *OF_ACME)
    assert [(e["action"], e["by"]) for e in history] == [
        ("rolled_back", "command line"),
        ("promoted", "command line"),
        ("registered", "command line"),
    ]
    assert "try it" in acme("policy", "history", "offers", *OF_ACME).stdout


def test_what_may_not_be_has_its_exit_code(acme: Cli, tmp_path: Path) -> None:  # noqa: F811
    folder = artifact(tmp_path / "offers-1")
    acme.json("policy", "register", str(folder), *OF_ACME)
    acme.json("policy", "promote", "offers", "1", *OF_ACME)
    verdict = {"promote": True, "against": 0, "judged_at": "2026-01-01T00:00:00Z"}
    done = acme("policy", "promote", "offers", "1", *OF_ACME, "--evidence", "-", stdin=json.dumps(verdict))
    assert (done.returncode, "h at stage shadow" in done.stderr) == (entry.REFUSED, True)
    for told in ('{"promote": true}', "[]", "{"):
        done = acme("policy", "promote", "offers", "1", *OF_ACME, "--evidence", "-", stdin=told)
        assert done.returncode == entry.USAGE
    assert acme("policy", "show", "other", *OF_ACME).returncode == entry.NOT_FOUND
    (folder / "model.pkl").write_bytes(b"\x80\x04.")
    done = acme("policy", "register", str(folder), *OF_ACME)
    assert (done.returncode, "not in the manifest" in done.stderr) == (entry.USAGE, True)


@pytest.mark.parametrize("gone", [MANIFEST, "model.ubj"])
def test_a_folder_that_lacks_something_is_refused(acme: Cli, tmp_path: Path, gone: str) -> None:  # noqa: F811
    folder = artifact(tmp_path / "offers-1")
    (folder / gone).unlink()
    assert acme("policy", "register", str(folder), *OF_ACME).returncode == entry.USAGE
    assert acme.json("policy", "list", *OF_ACME) == []

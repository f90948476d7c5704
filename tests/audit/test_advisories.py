"""A version that is known to be bad is reported, and what could not be asked is not taken for clean."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from docs.make_licences import pinned
from tests import audit
from tests.audit import ROOT, advisories, feed

KNOWN = feed.read()
NAMES = st.sampled_from(["alpha", "beta", "gamma"])
VERSIONS = st.sampled_from(["1.0", "1.1", "2.0"])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.audit", "advisories", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.fixture
def offline() -> Iterator[advisories.Source]:
    with feed.serving(KNOWN) as url:
        yield advisories.at(url, "the file")


def test_pins_that_are_known_to_be_bad_are_reported_as_ci_asks(tmp_path: Path) -> None:
    lock = tmp_path / "some.lock"
    bad = ["jinja2==2.10", "requests==2.30.0", "urllib3==1.26.17 ; sys_platform == 'win32'", "urllib3==2.0.7"]
    lock.write_text("\n    # via nothing\n".join(["idna==3.20", *bad, ""]))
    ended = run("--offline", "--lock", str(lock))
    assert ended.returncode == advisories.FOUND
    reported = [line.partition(":")[0] for line in ended.stderr.splitlines() if "PYSEC-" in line]
    assert reported == ["jinja2 2.10", "jinja2 2.10", "requests 2.30.0", "urllib3 1.26.17"]
    assert "jinja2 2.10: PYSEC-2019-217, CVE-2019-10906; fixed in 2.10.1" in ended.stderr


def test_what_is_installed_is_clean_as_far_as_is_known_and_what_is_not_known_is_listed() -> None:
    ended = run("--offline")
    assert ended.returncode == advisories.PARTLY_CHECKED, ended.stderr
    names = {name for name, _ in pinned((ROOT / "requirements.lock").read_text())}
    listed = set(ended.stderr.partition("NOT checked: ")[2].strip().split(", "))
    assert listed == names - KNOWN.covered()
    assert "NO SERVICE CAN BE REACHED" in ended.stderr
    assert KNOWN.as_of in ended.stderr


def test_a_source_that_knows_nothing_is_not_believed(tmp_path: Path) -> None:
    with feed.serving(feed.Feed(as_of="", advisory=[])) as url:
        source = advisories.at(url, "a source that knows nothing")
        bad = tmp_path / "bad.txt"
        bad.write_text("jinja2==2.10\n")
        plain = [sys.executable, "-m", "pip_audit", "--strict", "--no-deps", "--disable-pip", "-r", str(bad)]
        assert subprocess.run([*plain, *source.options], capture_output=True).returncode == 0  # why it is asked first
        assert not advisories.can_say_yes(source)


def test_where_no_source_can_be_reached_nothing_counts_as_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(advisories, "ONLINE", (advisories.at(f"http://127.0.0.1:{port}/v1/query", "nobody"),))
    assert advisories.audit(ROOT / "requirements.lock", offline=False) == advisories.NOT_CHECKED
    assert "NOT CHECKED" in capsys.readouterr().err


def test_a_source_that_fails_for_one_package_has_checked_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lock = tmp_path / "some.lock"
    lock.write_text("idna==3.20\nrequests==2.34.2\n")
    broken = [
        msgspec.structs.replace(a, ranges=[("no version", "1")]) if a.package == "requests" else a
        for a in KNOWN.advisory
    ]
    with feed.serving(feed.Feed(as_of="", advisory=broken)) as url:
        monkeypatch.setattr(advisories, "ONLINE", (advisories.at(url, "a source with a hole"),))
        assert advisories.audit(lock, offline=False) == advisories.NOT_CHECKED
    assert "a source with a hole did not answer for every package" in capsys.readouterr().err


def test_a_service_that_can_be_reached_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clean, bad = tmp_path / "clean.lock", tmp_path / "bad.lock"
    clean.write_text("ray==2.60.0\n")
    bad.write_text("ray==2.60.0\nmako==1.2.1\n")
    with feed.serving(KNOWN) as url:
        monkeypatch.setattr(advisories, "ONLINE", (advisories.at(url, "a service"),))
        assert advisories.audit(clean) == advisories.CLEAN
        assert advisories.audit(bad) == advisories.FOUND


def test_a_file_without_pins_is_not_taken_for_clean(tmp_path: Path) -> None:
    lock = tmp_path / "empty.lock"
    lock.write_text("# jinja2\n")
    assert advisories.audit(lock) == advisories.NOT_CHECKED


def test_an_accepted_advisory_is_left_out_and_no_other(offline: advisories.Source) -> None:
    found = list(advisories.ask(offline, [("jinja2", "2.10")], {"CVE-2019-10906": "only a test"}))
    assert [finding.ids[0] for finding in found] == ["PYSEC-2021-66"]


def test_nothing_is_accepted_without_a_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "accepted.toml"
    path.write_text('[advisories]\n"CVE-1" = ""\n')
    monkeypatch.setattr(audit, "ACCEPTED", path)
    with pytest.raises(ValueError, match="CVE-1 is accepted without a reason"):
        audit.accepted("advisories")
    assert audit.accepted("secrets") == {}


@given(st.lists(st.tuples(NAMES, VERSIONS), unique=True))
def test_each_version_is_asked_about_and_no_package_twice_at_once(pins: list[advisories.Pin]) -> None:
    groups = advisories._one_version_each(pins)
    assert sorted(pin for group in groups for pin in group) == sorted(pins)
    for group in groups:
        assert len({name for name, _ in group}) == len(group) > 0


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [("0.1", True), ("1.26.17", True), ("1.26.18", False), ("2.0.0", True), ("2.0.6", True), ("2.0.7", False)],
)
def test_a_version_is_affected_from_the_first_up_to_the_one_that_fixes_it(version: str, is_affected: bool) -> None:
    (advisory,) = [a for a in KNOWN.advisory if a.package == "urllib3"]
    assert advisory.affects(version) is is_affected

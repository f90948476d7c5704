"""Ask pip-audit whether a pinned version has a known vulnerability, and believe a "no" only from a source that can say "yes".

pip-audit passes quietly where it knows nothing: an index without advisories, a service that leaves a package out. So each
source is first asked about a version that is known to be bad; one that does not report it is not used. Then `pip-audit
--strict` is asked about every pin of the lock, on whatever system and Python it is for, and must name each of them in its
answer. The first source that passes decides: PyPI, OSV, and where neither can be reached, the advisories in this folder,
with a list of the packages that those say nothing about.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from docs.make_licences import pinned
from tests.audit import accepted, feed

CLEAN, FOUND, NOT_CHECKED, PARTLY_CHECKED = 0, 1, 3, 4
KNOWN_BAD = ("jinja2", "2.10")
KNOWN_BAD_IDS = {"PYSEC-2019-217", "CVE-2019-10906"}
SERVICE_TIMEOUT_S = 10

Pin = tuple[str, str]
"""Canonical name and version."""


class SourceError(Exception):
    """A source that did not answer, or not about everything it was asked."""


class Source(NamedTuple):
    """One way to ask pip-audit."""

    name: str
    options: list[str]


class Finding(NamedTuple):
    package: str
    version: str
    ids: list[str]
    fixed_in: list[str]


ONLINE = (Source("PyPI", ["--vulnerability-service", "pypi"]), Source("OSV", ["--vulnerability-service", "osv"]))


def audit(lock: Path, *, online: bool = True, offline: bool = True) -> int:
    """Check every pin of a lock file, print what came of it, and return how it ended.

    CLEAN is said only of a check by a service; PARTLY_CHECKED, if the advisories of this folder had to do.
    """
    pins = list(dict.fromkeys(pinned(lock.read_text())))
    if not pins:
        print(f"advisories: NOT CHECKED. {lock} has no pins.", file=sys.stderr)
        return NOT_CHECKED
    ignored = accepted("advisories")
    with ExitStack() as stack:
        for source in ONLINE if online else ():
            if can_say_yes(source):
                return _report(source, pins, ignored)
        if offline:
            known = feed.read()
            source = at(stack.enter_context(feed.serving(known)), "tests/audit/advisories.toml")
            if can_say_yes(source):
                _say_what_is_missing(known, pins)
                ended = _report(source, pins, ignored)
                return PARTLY_CHECKED if ended == CLEAN else ended
    print(
        f"advisories: NOT CHECKED. No source reported {'=='.join(KNOWN_BAD)}, which is known to be bad: advisories cannot "
        "be reached, or do not come through. Run this where PyPI or OSV can be reached.",
        file=sys.stderr,
    )
    return NOT_CHECKED


def at(url: str, name: str) -> Source:
    """Return the source that answers at an address as OSV does."""
    return Source(name, ["--vulnerability-service", "osv", "--osv-url", url])


def can_say_yes(source: Source) -> bool:
    """Say whether a source reports a version that is known to be bad."""
    try:
        findings = list(ask(source, [KNOWN_BAD]))
    except SourceError:
        return False
    return any(KNOWN_BAD_IDS & set(finding.ids) for finding in findings)


def ask(source: Source, pins: list[Pin], ignored: dict[str, str] | None = None) -> Iterator[Finding]:
    """Yield what a source knows of each pin. Raises SourceError if it has not answered for every one of them."""
    for group in _one_version_each(pins):
        with tempfile.TemporaryDirectory(prefix="audit-") as folder:
            requirements, answer = Path(folder, "requirements.txt"), Path(folder, "answer.json")
            # Without markers: a pin for another system is a pin.
            requirements.write_text("".join(f"{name}=={version}\n" for name, version in group))
            ended = subprocess.run(
                [
                    *(sys.executable, "-m", "pip_audit", "--strict", "--no-deps", "--disable-pip"),
                    *("--progress-spinner", "off", "--timeout", str(SERVICE_TIMEOUT_S)),
                    *("--format", "json", "--output", str(answer), "--requirement", str(requirements)),
                    *source.options,
                    *(word for vulnerability in ignored or () for word in ("--ignore-vuln", vulnerability)),
                ],
                env=os.environ | {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"},
                capture_output=True,
                text=True,
            )
            if not answer.exists() or not answer.stat().st_size:
                last = (ended.stderr.strip() or "no answer").splitlines()[-1]
                raise SourceError(f"{source.name} did not answer for every package: {last}")
            told = json.loads(answer.read_text())["dependencies"]
        if missing := {name for name, _ in group} - {each["name"] for each in told if "vulns" in each}:
            raise SourceError(f"{source.name} said nothing about {', '.join(sorted(missing))}")
        for each in told:
            for hole in each["vulns"]:
                ids = [hole["id"], *hole["aliases"]]
                yield Finding(each["name"], each["version"], ids, hole["fix_versions"])


def _one_version_each(pins: list[Pin]) -> list[list[Pin]]:
    """Split pins so that no group has a package twice, as pip-audit wants it: a lock has one for each Python."""
    groups: list[dict[str, Pin]] = []
    for pin in pins:
        group = next((g for g in groups if pin[0] not in g), None)
        if group is None:
            groups.append(group := {})
        group[pin[0]] = pin
    return [list(group.values()) for group in groups]


def _report(source: Source, pins: list[Pin], ignored: dict[str, str]) -> int:
    try:
        findings = list(ask(source, pins, ignored))
    except SourceError as error:
        print(f"advisories: NOT CHECKED. {error}", file=sys.stderr)
        return NOT_CHECKED
    for finding in findings:
        remedy = f"fixed in {', '.join(finding.fixed_in)}" if finding.fixed_in else "no release fixes it"
        print(f"{finding.package} {finding.version}: {', '.join(finding.ids)}; {remedy}", file=sys.stderr)
    for vulnerability, reason in ignored.items():
        print(f"accepted: {vulnerability}: {reason}")
    asked = f"{len(pins)} pins, asked of {source.name}, which reports {'=='.join(KNOWN_BAD)}"
    print(f"advisories: {len(findings) or 'none'} known for {asked}.")
    return FOUND if findings else CLEAN


def _say_what_is_missing(known: feed.Feed, pins: list[Pin]) -> None:
    names = {name for name, _ in pins}
    unknown = sorted(names - known.covered())
    print(
        "advisories: NO SERVICE CAN BE REACHED, so nothing newer than this repository is known.\n"
        f"  Checked instead: {len(known.advisory)} advisories as of {known.as_of}, about {len(names & known.covered())} of "
        f"{len(names)} packages.\n  NOT checked: {', '.join(unknown)}",
        file=sys.stderr,
    )

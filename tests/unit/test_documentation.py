"""What the pages for users say is what the code does: codes, limits, and links that lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

import whisperer.shard.effects
import whisperer.shard.records
from cluster.cli.app import app
from cluster.cli.exit_codes import EXIT_CODES
from whisperer.content.template import parse_template
from whisperer.eligibility.standing import MAX_SENDS, RETAIN_SENDS_MS
from whisperer.events.clock import MAX_CLOCK_SKEW_MS
from whisperer.events.decompress import MAX_BODY_BYTES
from whisperer.events.limits import MAX_EVENT_BYTES, MAX_MESSAGE_ID_CHARS
from whisperer.events.nesting import MAX_NESTING
from whisperer.events.outcome import Notice
from whisperer.events.parse import MAX_EVENTS
from whisperer.events.refusals import STATUS
from whisperer.events.routes import ROUTES
from whisperer.journeys.engagement import KEEP
from whisperer.journeys.parse import parse_campaign
from whisperer.profiles.traits import FULL, MAX_BYTES, MAX_NAME, MAX_NAMES, MAX_VALUE, TOO_LONG
from whisperer.shard.decision.outcomes import MAX_OUTCOMES, SKEW_MS
from whisperer.shard.people.identity import MAX_LINKS
from whisperer.shard.state.dedup import WINDOW_MS
from whisperer.shard.state.schedules import MISFIRE_GRACE_MS, SLICE
from whisperer.shard.state.timers import DECISION_DEADLINE_MS

ROOT = Path(__file__).parents[2]
EVENTS = (ROOT / "docs" / "events.md").read_text()
IDENTITY = (ROOT / "docs" / "identity.md").read_text()
LOOP = (ROOT / "docs" / "loop.md").read_text()
USERS = (ROOT / "docs" / "users.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_code_is_documented_with_its_status() -> None:
    for code, status in STATUS.items():
        assert re.search(rf"\b{status} [^|\n]*`{code.value}`", EVENTS), code


def test_every_oddity_is_documented() -> None:
    for notice in Notice:
        assert f"`{notice.value}`" in EVENTS


def test_every_path_is_documented() -> None:
    paths = EVENTS.partition("## Paths")[2].partition("## ")[0]
    for name in ROUTES:
        assert f"`{name}`" in paths or f"/v1/{name}`" in paths, name


def test_limits_are_those_of_the_code() -> None:
    for told in (
        f"over {MAX_EVENT_BYTES // 1024} KB",
        f"over {MAX_BODY_BYTES // 1024} KB",
        f"over {MAX_EVENTS:,} events",
        f"over {MAX_NESTING} levels",
        f"of {MAX_MESSAGE_ID_CHARS + 1} characters or more",
        f"More than {MAX_CLOCK_SKEW_MS // 1000} s",
        f"within {WINDOW_MS // 3_600_000} hours",
    ):
        assert told in EVENTS, told
    assert f"**{MAX_LINKS:,}** joined ids" in IDENTITY
    for told in (
        f"**{MAX_NAMES:,}** names and **{MAX_BYTES >> 10} KB** a user",
        f"**{MAX_NAME}** characters of a name, **{MAX_VALUE >> 10} KB** of a value's JSON",
        f"**{2 * MAX_NAMES:,}** names and **{2 * MAX_BYTES >> 10} KB**",
        f"`{FULL}`",
        f"`{TOO_LONG}`",
    ):
        assert told in USERS, told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_loops_times_and_bounds_are_those_of_the_code() -> None:
    for told in (
        f"Nothing within {DECISION_DEADLINE_MS // 1000} s: refused",
        f"| {DECISION_DEADLINE_MS // 1000} s after it was considered |",
        f"newest **{KEEP}** of a user's others",
        f"{SLICE:,} users a step",
        f"(less {SKEW_MS // 1000} s, as clocks go)",
    ):
        assert told in LOOP, told
    assert MISFIRE_GRACE_MS == 3_600_000
    assert "later than an hour: `misfired`" in LOOP
    assert f"the newest **{KEEP}** others" in USERS
    assert f"at most {MAX_OUTCOMES}" in USERS
    assert f"at most {MAX_SENDS} and {RETAIN_SENDS_MS // 86_400_000} days back" in USERS


def test_the_loops_records_and_effects_exist_under_their_names() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", LOOP.partition("## Records and effects")[2], re.MULTILINE)
    assert len(rows) > 5
    for name in rows:
        assert hasattr(whisperer.shard.records, name), name
    for name in ("Decide", "Deliver", "Settled"):
        assert f"`{name}`" in LOOP
        assert hasattr(whisperer.shard.effects, name)


def test_what_the_readme_sends_is_taken() -> None:
    written = (ROOT / "README.md").read_text()
    bodies = [json.loads(body) for body in re.findall(r"-d '(\{.*?\})'$", written, re.MULTILINE | re.DOTALL)]
    template, campaign, *_ = bodies
    parse_template({key: value for key, value in template.items() if key != "name"})
    definition = {key: value for key, value in campaign.items() if key not in ("name", "publish")}
    [arm] = parse_campaign(definition, campaign["name"]).arms
    assert arm.template == template["name"]


def test_the_glossary_has_every_word_once_in_order() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text().partition("| word | meaning |\n|---|---|\n")[2]
    words = [row.split(" | ")[0].removeprefix("| ") for row in glossary.splitlines()]
    assert len(words) > 90
    in_order = sorted(words, key=lambda word: word.lower().replace("_", " ").replace(",", ""))
    assert words == in_order
    assert len(set(words)) == len(words)


def test_every_exit_code_is_documented_as_the_help_has_it() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    codes = re.findall(r"(\d) ([^;.]+)", EXIT_CODES)
    assert len(codes) == 7
    for code, meaning in codes:
        [row] = re.findall(rf"^\| {code} \| (.*) \|$", operations, re.MULTILINE)
        assert meaning.split(" as ")[0] in row, code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_on_a_page_exists(page: Path) -> None:
    root: Any = get_command(app)
    for line in re.findall(r"(?:`|\$ |\$\(|^)(whisperer [a-z][^`\n]*)", page.read_text(), re.MULTILINE):
        command, *rest = line.split()[1:]
        assert command in root.commands, line
        found = root.load(command)
        below = None if hasattr(found, "otherwise") else getattr(found, "commands", None)
        if below is not None and rest and re.fullmatch(r"[a-z]+", rest[0]):
            assert rest[0] in below, line

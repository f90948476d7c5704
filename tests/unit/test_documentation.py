"""What the pages for users say is what the code does: codes, limits, and links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from whisperer.events.clock import MAX_CLOCK_SKEW_MS
from whisperer.events.decode import MAX_EVENT_BYTES
from whisperer.events.decompress import MAX_BODY_BYTES
from whisperer.events.nesting import MAX_NESTING
from whisperer.events.outcome import Notice
from whisperer.events.parse import MAX_EVENTS
from whisperer.events.refusals import STATUS
from whisperer.events.requirements import MAX_MESSAGE_ID_CHARS
from whisperer.events.routes import ROUTES
from whisperer.profiles.features import FEATURES
from whisperer.shard.dedup import WINDOW_MS
from whisperer.shard.identity import MAX_LINKS

ROOT = Path(__file__).parents[2]
EVENTS = (ROOT / "docs" / "events.md").read_text()
IDENTITY = (ROOT / "docs" / "identity.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_every_feature_is_documented_with_its_meaning() -> None:
    users = (ROOT / "docs" / "users.md").read_text()
    for feature in FEATURES.values():
        assert f"| `{feature.name}` | {feature.unit} | {feature.description} |" in users

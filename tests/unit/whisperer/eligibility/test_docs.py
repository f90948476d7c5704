"""The page about eligibility says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from whisperer.eligibility.check import ORDER
from whisperer.eligibility.standing import MAX_SENDS, RETAIN_SENDS_MS
from whisperer.journeys.schedule import MAX_MISSED
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.reasons import SENTENCES, Reason

PAGE = (Path(__file__).parents[4] / "docs" / "eligibility.md").read_text()


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_the_table_of_reasons_is_the_enum_with_its_sentences() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section("The reasons"), re.MULTILINE)
    assert rows == [(reason.value, SENTENCES[reason]) for reason in Reason]


def test_the_order_is_the_one_that_is_checked() -> None:
    assert re.findall(r"^\d\. `(\w+)`", section("Arm by arm"), re.MULTILINE) == [reason.value for reason in ORDER]


def test_every_trait_that_holds_an_address_is_on_the_page() -> None:
    for channel in CHANNELS.values():
        names = ", else ".join(f"`{name}`" for name in channel.address.traits) or "none"
        assert f"| `{channel.name}` | {names} |" in section("Addresses")


def test_the_bounds_are_those_of_the_code() -> None:
    assert f"**{MAX_SENDS}** messages" in PAGE
    assert f"**{RETAIN_SENDS_MS // 86_400_000} days**" in PAGE
    assert f"up to **{MAX_MISSED}**" in PAGE

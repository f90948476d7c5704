"""`docs/delivery.md` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from actors.shard.loop import engagement_loop as engaging
from actors.shard.loop import lane as delivering
from cluster.launch import serve_config
from serve_apps.delivery import (
    deliveries,
    exchange,
    fcm,
    provider,
    searching,
    sendgrid,
    ses,
    sink,
    smtp,
    sns,
    twilio,
)
from serve_apps.delivery.answers import Fault
from whisperer.delivery import dispatch, dkim, schedule, search
from whisperer.delivery.channels import is_repeatable
from whisperer.delivery.providers import reading
from whisperer.delivery.providers import smtp as smtp_settings
from whisperer.delivery.webhooks import MAX_PAYLOAD_BYTES
from whisperer.vocabulary.channels import CHANNELS, WITHIN_A_DAY_S, WITHIN_THREE_DAYS_S
from whisperer.vocabulary.push import MOST_BYTES

PAGE = (Path(__file__).parents[4] / "docs" / "delivery.md").read_text()
UNIT_S = {"": 1, "s": 1, "min": 60, "h": 3600}


def waits(first_cell: str) -> tuple[int, ...]:
    [row] = re.findall(rf"^\| {re.escape(first_cell)} \| (0, .*) \|$", PAGE, re.MULTILINE)
    return tuple(int(number) * UNIT_S[unit] for number, unit in re.findall(r"(\d+) ?(s|min|h)?", row))


def test_the_schedules_told_are_those_of_the_code() -> None:
    assert waits("`webhook`") == WITHIN_THREE_DAYS_S
    assert waits("any other") == WITHIN_A_DAY_S
    assert f"up to {schedule.JITTER:.0%}".replace("%", " %") in PAGE
    assert f"up to {schedule.MAX_RETRY_AFTER_S / 3600:g} hours" in PAGE


@pytest.mark.parametrize("status", dispatch.Verdict)
def test_every_status_is_told(status: str) -> None:
    assert re.search(rf"^\| `{status}` \|", PAGE, re.MULTILINE)


def test_a_limit_holds_what_is_inside_it() -> None:
    """Every layer above a send allows what the layers below may take."""
    handing_over_s = provider.ADMISSION_S + 2 * reading.MAX_TIMEOUT_S
    assert handing_over_s + smtp_settings.MAX_ANSWER_TIMEOUT_S < deliveries.MAX_SEND_S
    assert provider.ADMISSION_S + 2 * exchange.TIMEOUT_S < deliveries.MAX_SEND_S
    assert deliveries.ROUTE_S + deliveries.MAX_SEND_S < engaging.DISPATCH_TIMEOUT_S
    assert serve_config.DELIVERY_GRACE_S >= engaging.DISPATCH_TIMEOUT_S


def test_only_calls_of_webhooks_and_the_inbox_are_made_again_after_a_planned_stop() -> None:
    assert [channel for channel in CHANNELS if is_repeatable(channel)] == ["webhook", "inapp"]


@pytest.mark.parametrize("told", [sendgrid, ses, twilio, sns, fcm], ids=lambda told: told.PROVIDER)
def test_the_codes_told_of_an_api_are_those_of_the_code(told: Any) -> None:
    rows = PAGE.partition("| provider | about the address | about the account | busy |")[2].partition("\n\n")[0]
    [row] = re.findall(rf"^\| `{told.PROVIDER}` \| (.*) \|$", rows, re.MULTILINE)
    cells = row.split(" | ")
    for fault, cell in zip((Fault.ADDRESS, Fault.ACCOUNT, Fault.BUSY), cells, strict=True):
        known = {word for code, about in told.FAULTS.items() if about is fault for word in code.split()}
        written = set(re.findall(r"`([\w.]+)`|\b(\d{5})\b", cell))
        words = {one or other for one, other in written} - {"InvalidParameter"}
        if told is sendgrid:
            words = {word.rpartition(".")[2] for word in words} | ({"to"} if "…to" in cell else set())
        assert words == known, (fault, words ^ known)


@pytest.mark.parametrize("told", [sendgrid, ses, twilio, sns, fcm], ids=lambda told: told.PROVIDER)
def test_the_providers_told_of_in_the_table_of_apis_have_their_own_limits(told: Any) -> None:
    handing_over_s = provider.ADMISSION_S + 2 * reading.MAX_TIMEOUT_S
    tokens_s = 2 * reading.MAX_TIMEOUT_S if told is fcm else 0
    assert tokens_s + handing_over_s < deliveries.MAX_SEND_S


def test_the_search_told_is_that_of_the_code() -> None:
    told = re.sub(r"\s+", " ", PAGE.partition("### Searching for a message")[2].partition("## ")[0])
    waits_s = re.search(r"is \*\*looked for\*\*: (.*?) after the look before", told)
    assert waits_s is not None
    written = re.findall(r"(\d+) ?(s|min|h)", waits_s[1])
    assert tuple(float(int(number) * UNIT_S[unit]) for number, unit in written) == search.LOOKS_S
    for words in (
        f"the first came {search.SOONEST_ABSENT_MS // 60_000} min or later after the attempt",
        f"the last {search.ABSENT_FOR_MS // 60_000} min or later after the first",
        f"({twilio.SKEW_MS // 60_000} minutes are allowed for clocks)",
        f"with more than {twilio.PAGE_SIZE * twilio.MAX_PAGES:,} messages",
        f"over connections of their own, for {searching.LOOK_S:g} s at most",
    ):
        assert words in told, words
    assert searching.MAX_LOOKS == 2
    assert "Two looks of an account" in told
    assert f"| a look for a message, all pages together | {searching.LOOK_S:g} s |" in PAGE


def test_the_headers_told_as_signed_are_those_of_the_code() -> None:
    told = re.sub(r"\s+", " ", PAGE.partition("### DKIM")[2].partition("\n## ")[0])
    listed = told.partition("Signed are")[2].partition("mailbox providers")[0]
    names = {name.lower() for name in re.findall(r"`([\w-]+?)`", listed)}
    assert names == set(dkim.SIGNED)
    assert "every `List-*`" in listed
    assert f"RSA of {dkim.MIN_RSA_BITS:,} to {dkim.MAX_RSA_BITS:,} bits" in told


def test_limits_are_those_of_the_code() -> None:
    for told in (
        f"newest {sink.KEEP:,} messages",
        f"at most {MAX_PAYLOAD_BYTES // 1024} KB",
        f"| webhook: its answer | {exchange.TIMEOUT_S:g} s |",
        f"| webhook: connect, until all of the request is sent | {exchange.TIMEOUT_S:g} s |",
        f"| wait for one of a channel's connections | {provider.ADMISSION_S:g} s |",
        f"`answer_timeout_s` ({smtp_settings.MAX_ANSWER_TIMEOUT_S:g} s: RFC 5321",
        f"| the delivery application: who carries a channel | {deliveries.ROUTE_S:g} s |",
        f"| the delivery application: a whole send | {deliveries.MAX_SEND_S:g} s,",
        f"| a shard: silence of the delivery application | {engaging.DISPATCH_TIMEOUT_S:g} s |",
        f"{smtp.MAX_CONNECTIONS} (`smtp`) or {exchange.MAX_CONNECTIONS} (over HTTP) connections",
        f"At most {MOST_BYTES['android']:,} bytes of JSON",
        f"as JSON, at most {MOST_BYTES['web']:,} bytes",
        f"a tag holds {ses.MAX_TAG_CHARS} letters",
        f"at most {delivering.MAX_UNDER_WAY} of its messages under way, half as many whenever some are turned away, down "
        f"to {delivering.LEAST_UNDER_WAY}",
        f"newest {deliveries.REMEMBERED:,} that it answered",
        f"{exchange.MAX_RESPONSE_BYTES // 1024} KB are read",
        f"At most {smtp.MAX_CONNECTIONS} connections",
        f"`timeout_s` ({reading.DEFAULT_TIMEOUT_S:g})",
        f"`port` ({smtp_settings.DEFAULT_PORT['starttls']}; {smtp_settings.DEFAULT_PORT['tls']} with `tls`, "
        f"{smtp_settings.DEFAULT_PORT['none']} with `none`)",
    ):
        assert re.sub(r"\s+", " ", told) in re.sub(r"\s+", " ", PAGE), told

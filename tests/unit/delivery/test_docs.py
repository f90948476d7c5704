"""`docs/delivery.md` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from serve_apps.delivery import sink, smtp, webhook
from whisperer.content.message import PARTS
from whisperer.delivery import channels, dispatch, schedule
from whisperer.delivery.webhooks import MAX_PAYLOAD_BYTES

PAGE = (Path(__file__).parents[3] / "docs" / "delivery.md").read_text()
UNIT_S = {"": 1, "s": 1, "min": 60, "h": 3600}


def waits(first_cell: str) -> tuple[int, ...]:
    [row] = re.findall(rf"^\| {re.escape(first_cell)} \| (0, .*) \|$", PAGE, re.MULTILINE)
    return tuple(int(number) * UNIT_S[unit] for number, unit in re.findall(r"(\d+) ?(s|min|h)?", row))


def test_the_schedules_told_are_those_of_the_code() -> None:
    assert waits("`webhook`") == schedule.WEBHOOK_DELAYS_S
    assert waits("any other") == schedule.DELAYS_S
    assert f"up to {schedule.JITTER:.0%}".replace("%", " %") in PAGE
    assert f"up to {schedule.MAX_RETRY_AFTER_S / 3600:g} hours" in PAGE


@pytest.mark.parametrize("channel", PARTS)
def test_every_channel_and_its_parts_are_told(channel: str) -> None:
    table = PAGE.partition("## Channels and providers")[2].partition("Of a new tenant")[0]
    [row] = re.findall(rf"^\| `{channel}` \| .* \| (`.*`) \|$", table, re.MULTILINE)
    assert tuple(re.findall(r"`(\w+)`", row)) == PARTS[channel]


@pytest.mark.parametrize("provider", channels.PROVIDERS)
def test_every_provider_is_told(provider: str) -> None:
    assert re.search(rf"^\| `{provider}` \|", PAGE, re.MULTILINE)


@pytest.mark.parametrize(
    "status", [dispatch.ACCEPTED, dispatch.RETRY, dispatch.REJECTED, dispatch.BOUNCED, dispatch.REFUSED]
)
def test_every_status_is_told(status: str) -> None:
    assert re.search(rf"^\| `{status}` \|", PAGE, re.MULTILINE)


def test_limits_are_those_of_the_code() -> None:
    for told in (
        f"newest {sink.KEEP:,} messages",
        f"at most {MAX_PAYLOAD_BYTES // 1024} KB",
        f"2xx within {webhook.TIMEOUT_S:g} s",
        f"{webhook.MAX_RESPONSE_BYTES // 1024} KB are read",
        f"At most {smtp.MAX_CONNECTIONS} connections",
        f"`timeout_s` ({channels.DEFAULT_TIMEOUT_S:g})",
        f"`port` ({channels.DEFAULT_PORT['starttls']}; {channels.DEFAULT_PORT['tls']} with `tls`, "
        f"{channels.DEFAULT_PORT['none']} with `none`)",
    ):
        assert re.sub(r"\s+", " ", told) in re.sub(r"\s+", " ", PAGE), told

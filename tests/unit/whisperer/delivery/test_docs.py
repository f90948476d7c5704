"""`docs/delivery.md` says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actors.shard.loop import deliverer as delivering
from actors.shard.loop import engagement_loop as engaging
from cluster.launch import serve_config
from serve_apps.delivery import deliveries, provider, sink, smtp, webhook
from whisperer.delivery import dispatch, schedule
from whisperer.delivery.channels import is_repeatable
from whisperer.delivery.providers import smtp as smtp_settings
from whisperer.delivery.webhooks import MAX_PAYLOAD_BYTES
from whisperer.vocabulary.channels import WITHIN_A_DAY_S, WITHIN_THREE_DAYS_S

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
    handing_over_s = provider.ADMISSION_S + 2 * smtp_settings.MAX_TIMEOUT_S
    assert handing_over_s + smtp_settings.MAX_ANSWER_TIMEOUT_S < deliveries.MAX_SEND_S
    assert provider.ADMISSION_S + 2 * webhook.TIMEOUT_S < deliveries.MAX_SEND_S
    assert deliveries.ROUTE_S + deliveries.MAX_SEND_S < engaging.DISPATCH_TIMEOUT_S
    assert serve_config.DELIVERY_GRACE_S >= engaging.DISPATCH_TIMEOUT_S


def test_only_mail_is_not_sent_again_after_an_unknown_outcome() -> None:
    assert is_repeatable("email") is False
    assert all(is_repeatable(channel) for channel in ("sms", "push", "webhook"))


def test_limits_are_those_of_the_code() -> None:
    for told in (
        f"newest {sink.KEEP:,} messages",
        f"at most {MAX_PAYLOAD_BYTES // 1024} KB",
        f"| webhook: its answer | {webhook.TIMEOUT_S:g} s |",
        f"| webhook: connect, until all of the request is sent | {webhook.TIMEOUT_S:g} s |",
        f"| wait for one of a channel's connections | {provider.ADMISSION_S:g} s |",
        f"`answer_timeout_s` ({smtp_settings.MAX_ANSWER_TIMEOUT_S:g} s: RFC 5321",
        f"| the delivery application: who carries a channel | {deliveries.ROUTE_S:g} s |",
        f"| the delivery application: a whole send | {deliveries.MAX_SEND_S:g} s,",
        f"| a shard: silence of the delivery application | {engaging.DISPATCH_TIMEOUT_S:g} s |",
        f"8 (`smtp`) or {webhook.MAX_CONNECTIONS} (`webhook`) connections",
        f"at most {delivering.MAX_UNDER_WAY} of its messages under way, {delivering.MAX_BATCH} while",
        f"newest {deliveries.REMEMBERED:,} that it answered",
        f"{webhook.MAX_RESPONSE_BYTES // 1024} KB are read",
        f"At most {smtp.MAX_CONNECTIONS} connections",
        f"`timeout_s` ({smtp_settings.DEFAULT_TIMEOUT_S:g})",
        f"`port` ({smtp_settings.DEFAULT_PORT['starttls']}; {smtp_settings.DEFAULT_PORT['tls']} with `tls`, "
        f"{smtp_settings.DEFAULT_PORT['none']} with `none`)",
    ):
        assert re.sub(r"\s+", " ", told) in re.sub(r"\s+", " ", PAGE), told

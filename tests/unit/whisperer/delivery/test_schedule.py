from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from whisperer.delivery.schedule import JITTER, MAX_RETRY_AFTER_S, next_attempt_at
from whisperer.vocabulary.channels import CHANNELS, WITHIN_A_DAY_S, WITHIN_THREE_DAYS_S

NOW = 1_700_000_000_000
keys = st.text(min_size=1, max_size=40)
channels = st.sampled_from(sorted(CHANNELS))


def test_the_schedules_are_those_of_the_design() -> None:
    assert WITHIN_A_DAY_S == (0, 5, 30, 120, 600, 1800, 7200, 21600, 50400)
    assert WITHIN_THREE_DAYS_S == (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    assert CHANNELS["webhook"].retry_delays_s is WITHIN_THREE_DAYS_S
    assert {CHANNELS[channel].retry_delays_s for channel in ("email", "sms", "push")} == {WITHIN_A_DAY_S}


def test_a_channel_of_a_newer_release_has_a_schedule_after_a_step_back() -> None:
    assert next_attempt_at("snd_1", 3, NOW, None, "hologram") == next_attempt_at("snd_1", 3, NOW, None, "email")


@given(keys, st.integers(0, 9), channels)
def test_a_wait_is_never_shorter_than_scheduled_and_at_most_a_jitter_longer(
    key: str, attempts: int, channel: str
) -> None:
    at = next_attempt_at(key, attempts, NOW, None, channel)
    if attempts >= len(CHANNELS[channel].retry_delays_s):
        assert at is None
    else:
        assert at is not None
        wait_ms = CHANNELS[channel].retry_delays_s[attempts] * 1000
        assert wait_ms <= at - NOW <= wait_ms * (1 + JITTER)


@given(keys, st.integers(0, 9), st.none() | st.floats(), channels)
def test_the_same_key_and_attempt_always_wait_equally_long(
    key: str, attempts: int, retry_after_s: float | None, channel: str
) -> None:
    at = next_attempt_at(key, attempts, NOW, retry_after_s, channel)
    assert at == next_attempt_at(key, attempts, NOW, retry_after_s, channel)
    later = next_attempt_at(key, attempts, NOW + 12_345, retry_after_s, channel)
    assert later == (None if at is None else at + 12_345)


@given(keys, st.floats())
def test_what_a_provider_asks_for_is_honoured_up_to_a_bound(key: str, asked: float) -> None:
    at = next_attempt_at(key, 2, NOW, asked, "email")
    assert at is not None
    asked_s = 0.0 if math.isnan(asked) else asked
    wait_s = (at - NOW) / 1000
    assert wait_s >= max(30.0, min(asked_s, MAX_RETRY_AFTER_S)) - 0.001
    assert wait_s <= max(30.0, MAX_RETRY_AFTER_S) * (1 + JITTER)


def test_a_provider_cannot_prolong_an_exhausted_schedule() -> None:
    assert next_attempt_at("snd_1", len(WITHIN_A_DAY_S), NOW, 5.0, "email") is None
    assert next_attempt_at("snd_1", len(WITHIN_THREE_DAYS_S), NOW, 5.0, "webhook") is None


def test_keys_that_fail_together_do_not_come_back_together() -> None:
    instants = {next_attempt_at(f"snd_{n}", 4, NOW, None, "email") for n in range(1000)}
    assert len(instants) > 900
    spread = [at - NOW - 600_000 for at in instants if at is not None]
    assert min(spread) < 6_000  # over the whole of 20 %
    assert max(spread) > 114_000

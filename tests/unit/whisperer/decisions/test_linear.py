from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.unit.whisperer.decisions.making import DAY, learned, raw
from whisperer.decisions import linear
from whisperer.decisions.context import SCORE, D, transform
from whisperer.decisions.linear import SHORT_MEMORY, ArmStatistics, CampaignStatistics, OtherContextError


def close(one: ArmStatistics, other: ArmStatistics) -> bool:
    return (
        np.allclose(one.gram, other.gram, atol=1e-9)
        and np.allclose(one.moment, other.moment, atol=1e-9)
        and one.n == pytest.approx(other.n)
        and one.squares == pytest.approx(other.squares)
    )


def same(one: CampaignStatistics, other: CampaignStatistics) -> bool:
    return (
        one.day == other.day
        and one.arms.keys() == other.arms.keys()
        and all(close(one.arms[name], other.arms[name]) for name in one.arms)
    )


def test_merging_commutes_and_associates_whatever_the_days() -> None:
    parts = [learned({"no_send": 0.1, "mail": 0.3}, seed=1), learned({"mail": 0.2, "sms": 0.4}, seed=2)]
    third = learned({"sms": 0.1}, seed=3)
    third.advance(DAY + 30)
    parts.append(third)
    a, b, c = parts
    assert same(a + b, b + a)
    assert same((a + b) + c, a + (b + c))
    assert same(a + c, c + a)
    assert same(a + CampaignStatistics(), a)


def test_merging_leaves_its_parts_alone() -> None:
    a, b = learned({"mail": 0.3}), learned({"mail": 0.3}, seed=2)
    before = a.to_bytes(), b.to_bytes()
    _ = a + b
    assert (a.to_bytes(), b.to_bytes()) == before


def test_merging_is_learning_from_all_of_it_in_one_place() -> None:
    x, reward = transform(raw(50)), np.linspace(-1, 1, 50)
    days = DAY + np.arange(50) % 7
    whole, parts = CampaignStatistics(), [CampaignStatistics(), CampaignStatistics()]
    whole.arm("mail").add(x, reward, whole.weights(days))
    for at, part in enumerate(parts):
        part.arm("mail").add(x[at::2], reward[at::2], part.weights(days[at::2]))
    assert same(parts[0] + parts[1], whole)


def test_a_replaced_reward_leaves_no_trace() -> None:
    x, old, new = transform(raw(20)), np.linspace(0, 1, 20), np.linspace(1, -1, 20)
    weight = np.linspace(0.5, 1, 20)
    replaced, direct = ArmStatistics(), ArmStatistics()
    replaced.add(x, old, weight)
    replaced.replace(x, old, new, weight)
    direct.add(x, new, weight)
    assert close(replaced, direct)


def test_each_day_takes_its_share_and_late_rewards_weigh_by_their_own_day() -> None:
    statistics = CampaignStatistics(0.9)
    assert statistics.weights(np.array([DAY])).tolist() == [1.0]
    statistics.arm("mail").add(np.ones((1, D)), np.ones(1), np.ones(1))
    assert statistics.weights(np.array([DAY + 2, DAY + 1])) == pytest.approx([1.0, 0.9])
    assert statistics.arm("mail").n == pytest.approx(0.81)
    statistics.advance(DAY)
    assert statistics.arm("mail").n == pytest.approx(0.81)


def test_the_order_of_days_does_not_matter() -> None:
    forward, backward = CampaignStatistics(0.9), CampaignStatistics(0.9)
    x = transform(raw(5))
    for made, order in ((forward, range(5)), (backward, reversed(range(5)))):
        for at in order:
            made.arm("mail").add(x[at : at + 1], np.ones(1), made.weights(np.array([DAY + at])))
    assert same(forward, backward)


def test_bytes_hold_everything_to_the_bit() -> None:
    statistics = learned({"no_send": 0.1, "mail": 0.3})
    again = CampaignStatistics.from_bytes(statistics.to_bytes())
    assert again.to_bytes() == statistics.to_bytes()
    again.arm("mail").add(np.ones((1, D)), np.ones(1), np.ones(1))  # and can be added to
    assert again.to_bytes() != statistics.to_bytes()
    assert CampaignStatistics.from_bytes(CampaignStatistics().to_bytes()).arms == {}


def test_statistics_over_another_context_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = learned({"mail": 0.3}).to_bytes()
    monkeypatch.setattr(linear, "CONTEXT_VERSION", linear.CONTEXT_VERSION + 1)
    with pytest.raises(OtherContextError):
        CampaignStatistics.from_bytes(data)


def test_other_bytes_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        CampaignStatistics.from_bytes(msgspec.msgpack.encode([1, "two"]))


def test_rates_of_forgetting_do_not_mix() -> None:
    with pytest.raises(ValueError, match="different rates"):
        _ = CampaignStatistics(0.9) + CampaignStatistics(0.99)
    with pytest.raises(ValueError, match="discount"):
        CampaignStatistics(1.5)


def test_on_days_of_short_memory_more_is_forgotten_and_then_as_before() -> None:
    statistics = CampaignStatistics(0.99)
    statistics.arm("mail").add(np.ones((1, D)), np.ones(1), statistics.weights(np.array([DAY])))
    statistics.shorten_memory(2)
    statistics.advance(DAY + 1)
    assert statistics.arm("mail").n == pytest.approx(SHORT_MEMORY)
    statistics.advance(DAY + 5)
    assert statistics.arm("mail").n == pytest.approx(SHORT_MEMORY**2 * 0.99**3)


def test_a_reward_of_before_an_alarm_is_replaced_by_the_weight_it_still_has() -> None:
    statistics = CampaignStatistics(0.99)
    arm, x = statistics.arm("mail"), transform(raw(1))
    arm.add(x, np.ones(1), statistics.weights(np.array([DAY])))
    statistics.advance(DAY + 3)
    statistics.shorten_memory(4)
    statistics.shorten_memory(6)  # another alarm while the first one lasts
    assert statistics.short == [(DAY + 3, DAY + 9)]
    statistics.advance(DAY + 12)
    arm.replace(x, np.ones(1), np.zeros(1), statistics.weights(np.array([DAY])))
    assert arm.moment == pytest.approx(np.zeros(D), abs=1e-12)
    assert arm.n == pytest.approx(0.99**6 * SHORT_MEMORY**6)


def test_a_long_memory_is_not_lengthened_by_an_alarm() -> None:
    statistics = CampaignStatistics(0.5, DAY)
    statistics.shorten_memory(2)
    assert statistics.weights(np.array([DAY + 1, DAY])) == pytest.approx([1, 0.5])


def test_short_memories_survive_storing_and_adding() -> None:
    one, other = learned({"mail": 0.3}, seed=1), learned({"mail": 0.3}, seed=2)
    one.shorten_memory(3)
    other.advance(DAY + 2)
    other.shorten_memory(4)
    assert CampaignStatistics.from_bytes(one.to_bytes()).short == [(DAY, DAY + 3)]
    assert same(one + other, other + one)
    assert (one + other).short == (other + one).short == [(DAY, DAY + 6)]
    assert (one + other).arm("mail").n == pytest.approx(400 * SHORT_MEMORY**2 + 400 * 0.99**2)


def test_statistics_from_before_there_were_model_scores_go_on() -> None:
    """What a release with context 1 stored: no column for the score, no days of short memory."""
    kept = learned({"no_send": 0.1, "mail": 0.3})
    older = msgspec.msgpack.decode(kept.to_bytes())[:-1]
    older[1] = 1
    for at, axes in ((7, (1, 2)), (8, (1,))):
        array = np.frombuffer(older[at], "<f8").reshape((2, *[D] * len(axes)))
        for axis in axes:
            array = np.delete(array, SCORE, axis=axis)
        older[at] = array.tobytes()
    assert CampaignStatistics.from_bytes(msgspec.msgpack.encode(older)).to_bytes() == kept.to_bytes()

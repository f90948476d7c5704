"""The decision log of a shard.

The golden file under `tests/golden/shard` is never written again. To make one for a new form:
``python -m tests.unit.whisperer.shard.state.test_log FILE``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import Choice
from whisperer.delivery.dispatch import Receipt
from whisperer.errors import JournalDamagedError
from whisperer.feedback.outcome import Reward
from whisperer.journeys.engagement import Decision, OutcomeEntry
from whisperer.shard.state import log
from whisperer.shard.state.log import DecisionRow, DeliveryRow, Log, OutcomeRow, RewardRow

GOLDEN = Path(__file__).parents[4] / "golden" / "shard"

CHOICE = Choice(
    decision_id="dec_1",
    arm="email",
    propensity=0.75,
    arms=["no_send", "email"],
    propensities=[0.25, 0.75],
    means=[0.1, 0.2],
    spreads=[0.01, 0.02],
    seed=2**64 - 1,
    policy_version="welcome@7",
    scores=[0.0, 0.3],
    shadow=[0.0, 0.4],
    shadow_version="welcome@8",
)

LOG: Log = {
    7: [
        DecisionRow(
            *("acme", "dec_1", "u:zoë", 63, "welcome", 3, "event", "m-1", 1_767_225_600_000, 1_767_225_600_040),
            *("policy", "email", 0.75, ["no_send", "email"], [0.25, 0.75], [0.1, 0.2], [0.01, 0.02], 2**64 - 1),
            *("welcome@7", [("events_7d", 3.0)], {"sms": "no_address"}, ""),
        )
    ],
    900_000_000_000: [
        DeliveryRow(
            *("acme", "dec_1", "snd_1", "u:zoë", 63, "welcome", "email", 2, "accepted", "sink", "p-1", "250 OK"),
            *("c0ffee", "de", 1_767_225_600_100, ""),
        ),
        OutcomeRow("acme", "dec_1", "u:zoë", 63, "welcome", "converted", "bought", -5, 1_767_225_600_200),
        RewardRow(
            *("acme", "dec_1", "u:zoë", 63, "welcome", 3, "policy", "email", 0.75, 2_500_000, 1, True),
            1_767_225_600_300,
        ),
    ],
}


def candidacy(**fields: object) -> Decision:
    stated = {"id": "dec_1", "campaign": "welcome", "campaign_version": 3, "trigger": "event", "occurrence": "m-1"}
    stated |= {"at": 100, "status": "deciding", "refused_arms": {"sms": "no_address"}, "group": "policy"}
    return Decision(**{**stated, "features": [float(n) for n in range(len(NAMES))], **fields})  # type: ignore[arg-type]


def test_a_log_comes_back_from_a_snapshot_as_it_was() -> None:
    assert log.decode_log(log.encode_log(LOG)) == LOG
    assert log.decode_log(log.encode_log({})) == {}
    assert log.decode_log(b"") == {}, "snapshots of before there was a log"


@pytest.mark.parametrize("form", [1, 2, 3, 4])
def test_logs_of_every_form_are_read(form: int) -> None:
    """The first has no scores in its decisions' rows, the second none of a version in shadow, the third no provenance."""
    assert log.decode_log((GOLDEN / f"log-v{form}.msgpack").read_bytes()) == LOG


def test_the_newest_form_of_the_log_is_written() -> None:
    assert log.encode_log(LOG) == (GOLDEN / "log-v4.msgpack").read_bytes()


@pytest.mark.parametrize("data", [b"x", b"\xc1", log.encode_log(LOG)[:-1], msgspec.msgpack.encode([[1, [[9, 2]]]])])
def test_what_is_no_log_is_damage_and_not_an_empty_one(data: bytes) -> None:
    with pytest.raises(JournalDamagedError):
        log.decode_log(data)


def test_exported_positions_are_forgotten_and_no_others() -> None:
    held = dict(LOG)
    log.forget(held, 7)
    assert list(held) == list(LOG)
    log.forget(held, 8)
    assert list(held) == [900_000_000_000]


def test_the_row_of_a_choice_holds_the_whole_choice_and_named_features() -> None:
    chosen = candidacy(choice=msgspec.msgpack.encode(CHOICE), chosen_at=140, reason="", status="sending")
    row = log.decision_row("acme", "u:1", 5, chosen)
    held = Choice.__struct_fields__
    assert {name: getattr(row, name) for name in held} == {name: getattr(CHOICE, name) for name in held}
    assert (row.at, row.chosen_at, row.group, row.reason) == (100, 140, "policy", "")
    assert log.named(row.features) == [(name, float(n)) for n, name in enumerate(NAMES)]
    assert row.refused_arms == {"sms": "no_address"}


def test_the_row_of_a_refusal_has_the_reason_and_no_choice() -> None:
    row = log.decision_row("acme", "u:1", 5, candidacy(status="refused", reason="capped", features=[], group=""))
    assert (row.reason, row.arm, row.chosen_at, row.features, row.group) == ("capped", "", -1, [], "")


def test_a_refusal_after_the_choice_does_not_make_the_choice_look_refused() -> None:
    late = candidacy(choice=msgspec.msgpack.encode(CHOICE), chosen_at=140, status="refused", reason="suppressed")
    assert log.decision_row("acme", "u:1", 5, late).reason == ""


def test_a_decision_of_before_a_feature_was_added_has_the_features_it_had() -> None:
    assert log.named(log.decision_row("acme", "u:1", 5, candidacy(features=[1.0])).features) == [(NAMES[0], 1.0)]


def test_rows_of_what_follows_take_over_every_field() -> None:
    receipt = Receipt("snd_1", "accepted", "sink", "p-1", "250 OK", None, "c0ffee", "de")
    sent = log.delivery_row("acme", "u:1", 5, candidacy(), receipt, channel="email", attempt=2, at=200)
    assert {n: getattr(sent, n) for n in ("send_key", "status", "provider", "provider_id", "detail")} == {
        n: getattr(receipt, n) for n in ("send_key", "status", "provider", "provider_id", "detail")
    }
    assert (sent.content_hash, sent.locale, sent.channel, sent.attempt, sent.at) == ("c0ffee", "de", "email", 2, 200)
    came = log.outcome_row("acme", "u:1", 5, candidacy(), OutcomeEntry(300, "converted", "bought", 7))
    assert (came.at, came.kind, came.detail, came.value_micros, came.campaign) == (
        300,
        "converted",
        "bought",
        7,
        "welcome",
    )
    earned = Reward(4, "dec_1", "welcome", 3, "policy", ["no_send"], "email", 0.75, [1.0], 9, 1, True, 400)
    row = log.reward_row("acme", "u:1", 5, earned)
    names = set(RewardRow.__struct_fields__) & set(Reward.__struct_fields__)
    assert {n: getattr(row, n) for n in names} == {n: getattr(earned, n) for n in names}
    assert len(names) == 10


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(log.encode_log(LOG))

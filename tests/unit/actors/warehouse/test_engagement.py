"""What readers did with scored messages, counted in the warehouse and shown with a calibrated score."""

from __future__ import annotations

from typing import Any

import pytest

from actors.jobs import EngagementByScore, QualityByArm, read_arm_scores, read_bins
from actors.jobs.carrying_out import carry_out
from actors.warehouse import Warehouse
from actors.warehouse.engagement import engagement_by_score, scores_by_arm
from serve_apps.gateway.services.quality import document
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, decision, delivery, logged
from whisperer.shard.state.log import OutcomeRow


def sent(n: int, quality: float | None, **more: Any) -> Any:
    said = "" if quality is None else f'{{"quality":{quality},"generation":{{"ruling":"written"}}}}'
    return delivery(f"u:{n}", f"dec_{n}", NEW_YEAR_2026 + n, provenance=said, **more)


def did(n: int, kind: str) -> OutcomeRow:
    return OutcomeRow("acme", f"dec_{n}", f"u:{n}", 1, "welcome", kind, "", 0, NEW_YEAR_2026 + 50 + n)


@pytest.fixture
def warehouse(tmp_path: Any) -> Warehouse:
    made = Warehouse(str(tmp_path / "warehouse"))
    rows = [
        sent(1, 4.8), did(1, "opened"), did(1, "clicked"),  # one reader, once
        sent(2, 4.9), did(2, "auto_opened"),  # a program
        sent(3, 1.2), sent(4, 1.3), did(4, "clicked"),
        sent(5, None), did(5, "clicked"),  # not scored
        sent(6, 5.0, status="bounced"),
        sent(7, 5.0, channel="sms"), did(7, "clicked"),
        sent(8, 0.0),
    ]  # fmt: skip
    made.export(0, 0, 100, [logged(1, *rows)])
    return made


def test_each_message_counts_once_and_only_people_engage(warehouse: Warehouse) -> None:
    found = engagement_by_score(warehouse, "acme", NEW_YEAR_2026)
    assert [(one.channel, one.place, one.sent, one.engaged) for one in found] == [
        ("email", 0, 1, 0),
        ("email", 2, 2, 1),
        ("email", 9, 2, 1),
        ("sms", 9, 1, 1),
    ]
    assert engagement_by_score(warehouse, "acme", NEW_YEAR_2026 + 10_000) == []


def test_the_job_answers_the_same_and_the_document_calibrates_it(warehouse: Warehouse, tmp_path: Any) -> None:
    answer = b"".join(carry_out(EngagementByScore(str(tmp_path / "warehouse"), "acme", NEW_YEAR_2026)))
    made = document(read_bins(answer), NEW_YEAR_2026)
    email, sms = made.channels
    assert (email.channel, email.scored, email.mean) == ("email", 5, 2.44)
    assert [one.sent for one in email.bins] == [1, 0, 2, 0, 0, 0, 0, 0, 0, 2]
    rates = [one.rate for one in email.bins]
    assert rates == sorted(rates)
    assert (sms.scored, sms.mean) == (1, 5.0)


def test_a_tenant_without_messages_has_no_channels(tmp_path: Any) -> None:
    made = Warehouse(str(tmp_path / "empty"))
    assert engagement_by_score(made, "acme", 0) == []
    assert document([], NEW_YEAR_2026).channels == []


def marked(n: int, quality: float, marks: str, arm: str, locale: str, **more: Any) -> list[Any]:
    said = f'{{"quality":{quality}{marks}}}'
    at = NEW_YEAR_2026 + n
    return [
        decision(f"u:{n}", f"dec_{n}", at, arm=arm),
        delivery(f"u:{n}", f"dec_{n}", at, provenance=said, locale=locale, **more),
    ]


def test_a_campaigns_scores_are_summed_up_by_arm_and_language_with_what_cost(tmp_path: Any) -> None:
    warehouse = Warehouse(str(tmp_path / "warehouse"))
    rows = [
        *marked(1, 4.4, ',"marks":{"readability":0.5,"length":0.9}', "tips", "de"),
        *marked(2, 5.0, "", "tips", "de"),  # nothing cost anything
        *marked(3, 3.0, "", "tips", "de"),  # of a release that kept no marks
        *marked(4, 4.9, ',"generation":{"output":"\\"marks\\":{\\"tone\\":0}"},"marks":{"length":1e-3}', "tips", "en"),
        *marked(5, 1.0, ',"marks":{"tone":0.1}', "nudge", "", status="bounced"),
        *marked(6, 2.0, ',"marks":{"tone":0.25}', "nudge", "", channel="sms"),
        delivery("u:7", "dec_7", NEW_YEAR_2026, provenance='{"quality":1.0}', campaign="another"),
    ]
    warehouse.export(0, 0, 100, [logged(1, *rows)])
    answer = b"".join(carry_out(QualityByArm(str(tmp_path / "warehouse"), "acme", "welcome", NEW_YEAR_2026)))
    nudge, de, en = read_arm_scores(answer)
    assert (nudge.arm, nudge.channel, nudge.locale, nudge.bins) == ("nudge", "sms", "", [(4, 1, 2.0)])
    assert (de.arm, de.channel, de.locale, de.marked) == ("tips", "email", "de", 2)
    assert [(place, n) for place, n, _ in de.bins] == [(6, 1), (8, 1), (9, 1)]
    assert {name: round(lack, 3) for name, lack in de.lacking.items() if lack} == {"readability": 0.5, "length": 0.1}
    assert (en.locale, en.marked, round(en.lacking["length"], 3)) == ("en", 1, 0.999)
    assert en.lacking["tone"] == 0, "a model wrote of marks; these are none"
    assert scores_by_arm(warehouse, "acme", "welcome", NEW_YEAR_2026 + 10) == []
    assert scores_by_arm(warehouse, "acme", "nope", NEW_YEAR_2026) == []

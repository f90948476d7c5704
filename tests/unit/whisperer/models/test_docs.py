"""The page about models is true: its code runs, its figures and names are the product's."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from whisperer.evaluation import forecasts
from whisperer.evaluation.gate import Figures, GateRule, Verdict
from whisperer.evaluation.overlap import Overlap, Refusal
from whisperer.models import formats, guardrails
from whisperer.models.artifact import MAX_FILE_BYTES
from whisperer.models.guardrails import LIMITS
from whisperer.models.rollout import SCORE_STAGES, SCORES, STAGES, Evidence
from whisperer.models.score_evidence import NOT_COMPARABLE

PAGE = (Path(__file__).parents[4] / "docs" / "models.md").read_text()
WORDS = " ".join(PAGE.split())


@pytest.mark.parametrize("code", re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
def test_the_code_runs(code: str) -> None:
    exec(code, {})


def test_every_format_is_in_the_table() -> None:
    table = PAGE.partition("| file |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`(\.\w+)`", table)) == set(formats._FORMATS)


def test_every_stage_is_in_the_table_with_what_it_needs() -> None:
    for stage in STAGES:
        [row] = re.findall(rf"^\| `{stage.name}` \| (.*) \|$", PAGE, re.MULTILINE)
        assert f"{stage.min_ms // 3_600_000} h, {stage.min_decisions:,} decisions" in row
        assert not stage.share or f"{stage.share:.0%}".replace("%", " %") in row


def test_the_gate_of_score_models_is_the_codes() -> None:
    rule, [shadow] = forecasts.RULE, SCORE_STAGES
    assert (shadow.min_ms, shadow.min_decisions, shadow.share) == (0, 0, 0.0)
    for told in (
        f"({rule.level:.0%}, by users) at most {rule.tolerance:.0%} of the other's log-loss".replace("%", " %"),
        f"the difference in AUC is above -{rule.auc_drop:g}",
        f"within {rule.slope[0]:.2f} and {rule.slope[1]:.2f}, with {rule.fewest} rows at least",
        f"The policy `{SCORES}` is for",
        f"the reason `{NOT_COMPARABLE}` means",
    ):
        assert told in WORDS, told


def test_every_guardrail_is_in_the_table_with_its_limit() -> None:
    for name in (guardrails.UNSUBSCRIBED, guardrails.FAILED, guardrails.SLOW):
        [row] = re.findall(rf"^\| `{name}` \| (.*) \|$", PAGE, re.MULTILINE)
        assert row.startswith(f"{getattr(LIMITS, name):.0%}".replace("%", " %"))
        assert f"{LIMITS.ratio:g} times" in row
    assert f"| {LIMITS.value_drop:.0%} less reward a user |".replace("%", " %") in WORDS
    assert f"a chance of at most {LIMITS.alpha:.0%} per guardrail".replace("%", " %") in WORDS
    assert f"Value needs {guardrails.FEWEST_USERS} users" in WORDS
    assert f"over {MAX_FILE_BYTES >> 20} MiB" in WORDS


def test_the_gates_own_verdict_is_evidence_as_it_is() -> None:
    seen = Overlap(10_000, 4_000, 2.0, 9.5, 1.0, 0.01, 0.0, {"0.99": 3.0})
    refused = Verdict(False, (Refusal("too_little_overlap", "2 of 10,000"),), Figures(seen, None, {}, None), GateRule())
    told = refused.as_dict() | {"against": 1, "judged_at": "2026-01-31T09:00:00Z"}
    found = msgspec.convert(told, Evidence)
    assert (found.promote, found.reasons[0].sentence) == (False, "2 of 10,000")
    assert found.figures["overlap"]["n_effective"] == 2.0
    [example] = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    assert msgspec.json.decode(example, type=Evidence).promote

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serve_apps.gateway.pages.policies import render_policies
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.policies import PolicyRecord
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import policy
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, check_markup, check_policy, words

SITE = Site("demo", ("demo",), "/policies")


def page(*policies: PolicyRecord) -> str:
    return render_policies(policies, now=NOW, site=SITE)


def hostile() -> PolicyRecord:
    version = msgspec.structs.replace(
        policy().versions[0],
        status=HOSTILE,
        kind=HOSTILE,
        code_version=HOSTILE,
        digest=HOSTILE,
        metrics={HOSTILE: 1.0},
    )
    event = msgspec.structs.replace(
        policy().history[0],
        action=HOSTILE,
        before=HOSTILE,
        after=HOSTILE,
        by=HOSTILE,
        reason=HOSTILE,
        evidence={
            "reasons": [{"sentence": HOSTILE}, {"sentence": HUGE}],
            "figures": {HOSTILE: HOSTILE, "deep": {HOSTILE: [HOSTILE]}, "n": 10**40},
        },
    )
    return policy(name=HOSTILE, stage=HOSTILE, versions=[version], history=[event])


def test_the_page_says_who_decides_for_whom_and_on_what_evidence() -> None:
    text = words(page(policy()))
    for part in (
        "offers since 2 h ago",
        "version 1 live 75 % 7 500 decisions, 7 000 users",
        "version 2 25 25 % 2 500 decisions, 3 unsubscribed",
        "The next step needs 24 h and 5 000 decisions at this stage, and the gate's consent.",
        "Evidence version 2, 2 h ago",
        "dr difference value 0.0213",
        "overlap n_effective 4 210",
        "120 000 rows, 2026-01-01 to 2026-03-01, 2 features",
        "value 13.9, auc 0.812",
        "2 h ago version 2 promoted 5 25 version 1 operator looks good",
    ):
        assert part in text, part


def test_a_rollback_by_a_guardrail_says_what_broke() -> None:
    breach = {"guardrail": "failed", "reason": "300 of 3,000 decisions failed: more than 1.0%"}
    event = msgspec.structs.replace(
        policy().history[0],
        action="rolled_back",
        after="rolled_back",
        by="guardrail",
        evidence={"breaches": [breach], "tallies": {}},
    )
    html = page(policy(candidate=None, stage=None, share=0.0, needs=None, history=[event]))
    assert "300 of 3,000 decisions failed" in words(html)
    assert 'class="breakable bad"' in html
    assert "version 2 rolled back" in words(html)


def test_without_versions_the_page_says_how_to_begin() -> None:
    assert "whisperer policy register" in words(page())
    built_in = policy(live=0, candidate=None, stage=None, share=0.0, needs=None, tallies={}, versions=[], history=[])
    assert "built in live 100 % not counted yet" in words(page(built_in))


@pytest.mark.parametrize("documents", [[policy()], [policy(), policy(name="other")], [hostile()], []])
def test_the_page_is_sound_and_under_its_policy_whatever_it_shows(documents: list[Any]) -> None:
    html = page(*documents)
    check_markup(html)
    check_policy(html)
    assert "<img src=x" not in html
    assert len(html) < 60_000

"""A campaign over the users of a public file, its processes killed on the way: every count adds up, every choice is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import starbucks_campaign, starbucks_people
from tests.support.stand import Tenant
from tests.support.starbucks_traffic import VICTIMS

pytestmark = pytest.mark.cluster

N_PEOPLE = 1_500
N_WAVES = 2
WINDOW_S = 40


@pytest.mark.timeout(600)
def test_a_campaign_over_the_starbucks_users_adds_up_after_kills(tenant: Tenant, tmp_path: Path) -> None:
    if not starbucks_people.present():
        pytest.skip("the Starbucks users are not here: ../shared is not part of the project")
    told = starbucks_campaign.run(tenant, tmp_path, n_people=N_PEOPLE, n_waves=N_WAVES, window_s=WINDOW_S)
    assert told["differences"] == []
    assert [kill["victim"] for kill in told["kills"]] == [*VICTIMS[::2], *VICTIMS[1::2]]
    missed = [
        k["victim"] for k in told["kills"] if k["victim"] in ("decisions", "content", "delivery") and not k["pending"]
    ]
    assert missed == [], "an application died and nothing waited for it"
    assert told["sink"]["doubled"] == 0
    assert told["refused"].keys() >= {"no_consent", "bounced"}
    assert set(told["refused"]) <= {"no_consent", "bounced", "suppressed"}
    assert told["conversions"] > 0
    assert told["capped_rewards"] > 0
    assert told["policy_versions_used"] > 1, "nothing was decided by what was learned"
    assert told["audit"] is not None, "no decision has a complete audit"

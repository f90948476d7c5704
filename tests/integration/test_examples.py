"""The examples run as they are written: each as its own program, for a tenant of its own, with nothing but its keys."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.stand import ROOT, Tenant

pytestmark = pytest.mark.cluster

EXAMPLES = ROOT / "examples"
PROGRAMS = {".sh": "sh", ".py": sys.executable, ".mjs": "node"}
TIMEOUT_S = 120


def run(example: Path, tenant: Tenant) -> str:
    """What the example prints; it must end well, and say nothing on stderr."""
    program = PROGRAMS[example.suffix]
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program} here")
    keys = {"URL": tenant.stand.url, "WRITE_KEY": tenant.write_key, "SECRET_KEY": tenant.secret_key}
    environment = {"PATH": os.environ["PATH"], "PYTHONUTF8": "1", **keys}
    done = subprocess.run(
        [program, str(example)], env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), f"{done.stdout}\n{done.stderr}"
    return done.stdout


def report(tenant: Tenant, campaign: str) -> dict[str, Any]:
    """A campaign's report once nothing is pending any more."""
    tenant.stand.settled()
    answer = tenant.api.get(f"/v1/campaigns/{campaign}/report")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found["candidates"] == found["sent"] + found["no_send"] + sum(found["refused"].values()) + found["pending"]
    return found


def sunk(tenant: Tenant, campaign: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = tenant.api.get(f"/v1/sink/messages?campaign={campaign}&limit=500").json()["data"]
    return found


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("send_events.*")), ids=lambda path: path.name)
def test_the_first_events_of_every_language_arrive(example: Path, tenant: Tenant) -> None:
    run(example, tenant)
    ada = tenant.user("ada")
    assert ada is not None
    assert ada["traits"] == {"email": "ada@example.com", "plan": "team"}
    assert ada["event_counts"] == {"$identify": 1, "Report Exported": 1}


def test_the_first_campaign_with_curl_considers_everybody_and_sends_to_some(tenant: Tenant) -> None:
    printed = run(EXAMPLES / "first_campaign.sh", tenant)
    assert all(f"{step}. " in printed for step in range(1, 9))
    counted = report(tenant, "first-campaign")
    assert counted["candidates"] == 13
    assert counted["refused"] == {}
    messages = sunk(tenant, "first-campaign")
    assert {message["n_received"] for message in messages} == {1}
    to_trials = [message for message in messages if message["user_id"] != "ada"]
    assert to_trials
    assert all(message["locale"] == {"email": "de", "sms": "en"}[message["channel"]] for message in to_trials)
    assert {message["user_id"] for message in to_trials} <= {f"trial-{n:02}" for n in range(1, 13)}


def test_a_question_asked_again_with_its_key_has_the_same_answer(tenant: Tenant) -> None:
    first, second = (
        re.findall(r'"decision_id":"(dec_[0-9a-z]{26})","user_id":"ada"', run(EXAMPLES / "first_campaign.sh", tenant))
        for _ in range(2)
    )
    assert len(first) == 1
    assert first == second


def test_the_first_campaign_in_python_accounts_for_what_it_did(tenant: Tenant) -> None:
    printed = run(EXAMPLES / "first_campaign.py", tenant)
    counted = report(tenant, "first-campaign-in-python")
    assert f"{counted['candidates']} candidates = " in printed
    assert counted["candidates"] == 25
    assert counted["conversions"] == 1
    messages = sunk(tenant, "first-campaign-in-python")
    assert {message["locale"] for message in messages} == {"ja"}
    assert all(message["parts"]["subject"].endswith("さん、ようこそ") for message in messages)

"""The whole simulator with responses, as a process against a real server; and the demo it takes part in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from cluster.demo import campaign as demo_campaign
from cluster.demo.templates import demo_templates
from tests.unit.training.simulator.sink_gateway import CHANNEL_OF, ServedGateway, SinkGateway
from training.simulator.effects import ARMS, COST, UNSUBSCRIBE_COST
from training.simulator.people import PHONE_SHARE, PUSH_SHARE
from training.simulator.responder import PAGE_TO_ARM, POLL_S
from training.simulator.responses import SETTLE_MS, message
from training.simulator.visits import SESSION
from whisperer.content.message import Rendered, RenderRequest
from whisperer.content.render import render
from whisperer.content.template import parse_template
from whisperer.feedback.links import CLICK, OPEN, UNSUBSCRIBE, LinkSigner, SignedLinks
from whisperer.journeys.campaign import OnEvent
from whisperer.journeys.parse import parse_campaign

NOW = 1_790_000_000_000
CHECKOUT = Path(__file__).parents[4]


def goals(gateway: SinkGateway) -> list[dict[str, Any]]:
    return [e for e in gateway.events if e.get("event") == demo_campaign.GOAL_EVENT]


def run_until(gateway: ServedGateway, folder: Path) -> str:
    """Run the command until the gateway has enough; what it printed."""
    demo = {"tenant": "demo", "tenant_id": "tn_demo", "write_key": "wk_test", "secret_key": "sk_test"}
    path = folder / "installation.json"
    path.write_text(json.dumps({"data_dir": str(folder), "url": gateway.url, "demo": demo}))
    line = [sys.executable, "-m", "training.simulator", "--users", "300", "--rate", "200", "--installation", str(path)]
    process = subprocess.Popen(line, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    enough = gateway.satisfied.wait(90)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert (enough, process.returncode, err) == (True, 0, "")
    return out


def test_sessions_are_answered_and_a_restart_repeats_nothing(tmp_path: Path) -> None:
    def enough(found: SinkGateway) -> bool:
        return len(goals(found)) >= wanted and any(path.startswith("/m/c/") for _, path in found.touched)

    wanted = 5
    with ServedGateway(campaign=demo_campaign.NAME, enough=enough) as gateway:
        out = run_until(gateway, tmp_path)
        assert "messages read" in out
        first = len(goals(gateway))
        wanted = first + 5
        gateway.satisfied.clear()
        run_until(gateway, tmp_path)
    assert len(goals(gateway)) >= first + 5
    assert max(Counter(e["messageId"] for e in gateway.events).values()) == 1
    assert max(Counter(gateway.touched).values()) == 1
    sessions = {e["userId"] for e in gateway.events if e.get("event") == SESSION}
    assert {e["userId"] for e in goals(gateway)} <= sessions
    written = json.loads((tmp_path / "simulator" / "truth.json").read_text())
    assert written["campaign"] == demo_campaign.NAME


def test_the_first_users_heard_of_have_a_past(tmp_path: Path) -> None:
    def enough(found: SinkGateway) -> bool:
        return len(found.events) >= 400

    with ServedGateway(campaign=demo_campaign.NAME, enough=enough) as gateway:
        run_until(gateway, tmp_path)
    early = Counter(e.get("event", e["type"]) for e in gateway.events[:400])
    assert early[SESSION] > 25, "half of a new population would only look at the price list"
    assert early[SESSION] > early["Signed Up"]


def test_the_demos_campaign_is_the_one_that_the_ground_truth_is_about() -> None:
    campaign = parse_campaign(demo_campaign.CAMPAIGN, demo_campaign.NAME)
    assert campaign.trigger == OnEvent(SESSION)
    assert tuple(arm.id for arm in campaign.arms) == ARMS[1:]
    assert [arm.cost for arm in campaign.arms] == COST[1:].tolist()
    assert {arm.id: arm.channel for arm in campaign.arms} == CHANNEL_OF
    assert campaign.goal.unsubscribe_cost == UNSUBSCRIBE_COST
    assert "compressed-time" in campaign.name


@pytest.mark.parametrize("locale", ["en-US", "de-DE", "es-MX", "ja-JP", "ar-AE", "pl-PL"])
@pytest.mark.parametrize("arm", list(CHANNEL_OF))
def test_the_demos_messages_as_rendered_and_signed_are_understood(arm: str, locale: str) -> None:
    channel, signer = CHANNEL_OF[arm], LinkSigner(bytes(range(32)))
    request = RenderRequest(
        send_key="snd_1",
        decision_id="dec_1",
        tenant="tn_1",
        user_key="u:usr_1",
        campaign=demo_campaign.NAME,
        channel=channel,
        template=arm,
        template_version=1,
        variant=arm,
        offer=json.dumps(next(a.get("offer") for a in demo_campaign.CAMPAIGN["arms"] if a["id"] == arm)).encode(),
        locale=locale,
        zone="Asia/Tokyo",
        traits={"name": b'"Ada Abe"', "email": b'"a@x.example"', "plan": b'"team"'},
        features={},
        event=b'{"surface":"web"}',
        address="a@x.example",
        purpose="marketing",
        now=NOW,
    )
    said = {"tenant": "tn_1", "user_key": "u:usr_1", "decision_id": "dec_1", "channel": channel, "purpose": "marketing"}
    links = SignedLinks(signer, "http://127.0.0.1:8000", **said, now=NOW)
    rendered = render(parse_template(demo_templates()[arm]), request, links)
    assert isinstance(rendered, Rendered)
    entry = {"send_key": "snd_1", "user_key": "u:usr_1", "campaign": demo_campaign.NAME, "channel": channel}
    note = message({**entry, "parts": rendered.parts, "headers": rendered.headers, "received_at": NOW})
    assert note.user == "usr_1"
    assert note.link is not None
    click = signer.read(note.link.removeprefix("/m/c/"), NOW)
    assert click.kind == CLICK
    if channel == "email":
        assert PAGE_TO_ARM[urlsplit(click.url).path] == arm
        assert note.pixel is not None
        assert note.leave is not None
        assert signer.read(note.pixel.removeprefix("/m/o/"), NOW).kind == OPEN
        assert signer.read(note.leave.removeprefix("/m/u/"), NOW).kind == UNSUBSCRIBE


def test_responses_fit_into_the_campaigns_window() -> None:
    longest_s = SETTLE_MS / 1000 + 12 + 4 + 3 + 2 * POLL_S
    assert longest_s < demo_campaign.WINDOW_S


@pytest.mark.parametrize("share", [PHONE_SHARE, PUSH_SHARE])
def test_some_people_lack_an_address_so_that_refusals_are_seen(share: float) -> None:
    assert 0.5 < share < 1

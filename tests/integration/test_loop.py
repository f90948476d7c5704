"""An event becomes a decision, a message and a reward, over HTTP on the running product."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.support.campaigning import (
    SITE,
    closed,
    counts,
    decision,
    experiment,
    first_message,
    launch,
    link,
    messages,
    people,
    person,
    send,
    track,
    with_outcome,
)
from tests.support.readers import PHONE
from tests.support.stand import Stand, Tenant, until

pytestmark = pytest.mark.cluster


@pytest.fixture
def other(stand: Stand) -> Iterator[Tenant]:
    made = stand.tenant(f"o-{secrets.token_hex(4)}")
    yield made
    made.close()


def test_an_event_becomes_a_decision_a_message_and_outcomes(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant)
    track(tenant, "Joined", *users)
    counted = closed(tenant, "welcome", len(users))
    found = messages(tenant)
    assert (len(found), counted["refused"]) == (counted["sent"], {})
    assert {message["n_received"] for message in found} == {1}
    message = found[0]
    assert message["address"] == f"{message['user_id']}@example.com"
    assert message["parts"]["subject"] == f"Hello {message['user_id'].title()}"

    with httpx.Client(follow_redirects=False, timeout=30, headers=PHONE) as reader:
        clicked = reader.get(link(message, "c"))
        assert (clicked.status_code, clicked.headers["location"]) == (302, f"{SITE}/tips")
        opened = reader.get(link(message, "o"))
        assert (opened.status_code, opened.headers["content-type"]) == (200, "image/gif")
        reader.get(link(message, "c"))
    track(tenant, "Paid", message["user_id"], revenue=7)

    audit = with_outcome(tenant, message["decision_id"], "converted")
    assert Counter(o["kind"] for o in audit["outcomes"]) == {"clicked": 1, "opened": 1, "converted": 1}
    assert next(o["detail"] for o in audit["outcomes"] if o["kind"] == "clicked") == f"{SITE}/tips"
    assert (audit["status"], audit["arm"] in audit["arms"], audit["reward"]) == ("sent", True, 1.0)
    assert (audit["send"]["send_key"], audit["send"]["provider"]) == (message["send_key"], "sink")
    assert sum(audit["propensities"]) == pytest.approx(1)
    assert audit["propensity"] == audit["propensities"][audit["arms"].index(audit["arm"])]
    user = tenant.user(message["user_id"])
    assert user is not None
    assert [candidacy["id"] for candidacy in user["candidacies"]] == [message["decision_id"]]


def test_a_mail_program_unsubscribes_by_one_post_and_a_scanner_by_no_get(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant)
    track(tenant, "Joined", *users)
    message = first_message(tenant, "welcome")
    address = message["headers"]["List-Unsubscribe"].strip("<>")
    assert message["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    candidates = len(users)

    def again() -> dict[str, int]:
        """What the same user's next candidacy is refused for."""
        nonlocal candidates
        before = closed(tenant, "welcome", candidates)["refused"]
        track(tenant, "Joined", message["user_id"])
        candidates += 1
        after = closed(tenant, "welcome", candidates)["refused"]
        return {reason: n - before.get(reason, 0) for reason, n in after.items() if n > before.get(reason, 0)}

    page = httpx.get(address)
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert httpx.head(address).status_code == 200
    assert again() == {}
    done = httpx.post(address, content="List-Unsubscribe=One-Click")
    assert (done.status_code, done.text) == (200, "unsubscribed\n")
    assert again() == {"no_consent": 1}
    audit = with_outcome(tenant, message["decision_id"], "unsubscribed")
    assert audit["reward"] == -0.5
    user = tenant.user(message["user_id"])
    assert user is not None
    assert [(c["channel"], c["purpose"], c["granted"]) for c in user["consent"]] == [("email", "marketing", False)]


def test_links_that_nobody_signed_or_that_are_for_something_else_are_refused(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    track(tenant, "Joined", *people(tenant))
    message = first_message(tenant, "welcome")
    click, token = link(message, "c"), link(message, "c").rsplit("/", 1)[1]
    forged = f"{click[:-1]}{'A' if click[-1] != 'A' else 'B'}"
    for address in (forged, f"{tenant.stand.url}/m/u/{token}", f"{tenant.stand.url}/m/c/x"):
        answer = httpx.get(address, follow_redirects=False)
        assert (answer.status_code, answer.json()["code"]) == (400, "link_forged"), address
    assert httpx.post(f"{tenant.stand.url}/m/u/{token}").status_code == 400
    assert httpx.get(f"{tenant.stand.url}/m/o/{token}").status_code == 200  # a picture, and nothing is recorded
    assert decision(tenant, message["decision_id"])["outcomes"] == []


def test_entering_a_segment_makes_a_candidate_and_being_found_in_it_does_not(tenant: Tenant) -> None:
    early, late = people(tenant, 3, "early"), people(tenant, 12, "late")
    track(tenant, "Looked", *early)
    tenant.api.put("/v1/segments/lookers", json={"predicate": {"event": "Looked", "count": 1}}).raise_for_status()

    def filled() -> bool:
        shown = tenant.api.get("/v1/segments/lookers").json()
        return shown["done"] >= shown["total"] and shown["members"] == len(early)

    until(filled, "the segment's backfill")
    launch(tenant, "hello-lookers", {"segment": "lookers"})
    track(tenant, "Looked", *early, *late)
    closed(tenant, "hello-lookers", len(late))
    assert {message["user_id"] for message in messages(tenant)} <= set(late)
    assert decision(tenant, first_message(tenant, "hello-lookers")["decision_id"])["trigger"] == "segment"


def test_a_caller_is_answered_and_the_same_question_is_the_same_decision(tenant: Tenant) -> None:
    launch(tenant, "on-demand", {"request": True})
    users = people(tenant)
    one = {"campaign": "on-demand", "user_id": users[0]}
    first = tenant.api.post("/v1/decisions", json=one, headers={"Idempotency-Key": "order-1"})
    assert first.status_code == 200, first.text
    again = tenant.api.post("/v1/decisions", json={**one, "occurrence": "order-1"}).json()
    same = ("decision_id", "arm", "propensity", "occurrence", "at")
    assert {name: again[name] for name in same} == {name: first.json()[name] for name in same}
    assert first.json()["status"] in ("sending", "sent", "no_send")

    batch = {"campaign": "on-demand", "user_ids": [*users[1:], "nobody", users[1]], "occurrence": "monday"}
    made = tenant.api.post("/v1/decisions", json=batch).json()["data"]
    assert [d["user_id"] for d in made] == batch["user_ids"]
    assert [d["status"] for d in made if d["user_id"] == "nobody"] == ["unknown_user"]
    assert made[0]["decision_id"] == made[-1]["decision_id"]
    assert tenant.api.post("/v1/decisions", json=batch).json()["data"][0]["decision_id"] == made[0]["decision_id"]
    closed(tenant, "on-demand", len(users))
    missing = tenant.api.post("/v1/decisions", json={"campaign": "on-demand", "user_id": "nobody"})
    assert (missing.status_code, missing.json()["code"]) == (404, "user_not_found")


def test_a_withdrawn_consent_is_heeded_and_a_grant_lifts_it(tenant: Tenant) -> None:
    launch(tenant, "on-demand", {"request": True}, n_arms=15)
    people(tenant, 1)

    def ask(occurrence: str) -> dict[str, object]:
        body = {"campaign": "on-demand", "user_id": "ann-0", "occurrence": occurrence}
        found: dict[str, object] = tenant.api.post("/v1/decisions", json=body).json()
        return found

    def state(granted: bool) -> None:
        body = {"channel": "email", "granted": granted, "source": "preference centre"}
        tenant.api.post("/v1/users/ann-0/consent", json=body).raise_for_status()

    state(granted=False)
    refused = ask("a")
    assert (refused["status"], refused["reason"], refused["arm"]) == ("refused", "no_consent", None)
    state(granted=True)
    assert ask("b")["status"] != "refused"
    bad = tenant.api.post("/v1/users/ann-0/consent", json={"channel": "fax", "granted": True})
    assert (bad.status_code, bad.json()["errors"][0]["pointer"]) == (422, "/channel")


def test_a_paused_campaign_considers_nobody_until_it_is_resumed(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant, 3)
    assert tenant.api.post("/v1/campaigns/welcome/pause").json()["status"] == "paused"
    track(tenant, "Joined", *users)
    asked = tenant.api.post("/v1/decisions", json={"campaign": "welcome", "user_id": users[0]}).json()
    assert (asked["status"], asked["reason"]) == ("refused", "campaign_not_live")
    assert counts(tenant, "welcome")["candidates"] == 1
    assert tenant.api.post("/v1/campaigns/welcome/resume").json()["status"] == "live"
    track(tenant, "Joined", *users)
    closed(tenant, "welcome", 1 + len(users))


def test_a_message_is_in_its_reader_s_language(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = [*people(tenant, 12, "eva", locale="de-AT"), *people(tenant, 12, "jean", locale="fr-FR")]
    track(tenant, "Joined", *users)
    closed(tenant, "welcome", len(users))
    found = {message["user_id"].split("-")[0]: message for message in messages(tenant)}
    assert (found["eva"]["locale"], found["jean"]["locale"]) == ("de", "en")
    assert found["eva"]["parts"]["subject"].startswith("Hallo Eva")
    assert found["jean"]["parts"]["subject"].startswith("Hello Jean")


def test_the_holdout_is_left_alone_with_certainty(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    experiment(tenant, holdout=0.5, uniform=0.5)
    users = people(tenant, 30)
    track(tenant, "Joined", *users)
    counted = closed(tenant, "welcome", len(users))
    made = [(tenant.user(user) or {})["candidacies"][0] for user in users]
    holdout = [d for d in made if d["group"] == "holdout"]
    assert holdout
    assert {(d["arm"], d["propensity"], d["status"]) for d in holdout} == {("no_send", 1.0, "no_send")}
    uniform = [d for d in made if d["group"] == "uniform"]
    assert [d["propensity"] for d in uniform] == pytest.approx([1 / 6] * len(uniform))
    assert counted["sent"] == sum(d["arm"] != "no_send" for d in uniform)


def test_an_anonymous_visitor_s_decision_follows_the_user_it_turns_out_to_be(tenant: Tenant) -> None:
    launch(tenant, "on-demand", {"request": True}, n_arms=15)
    send(tenant, {"type": "identify", "anonymousId": "device", "traits": {"email": "ann@example.com"}})
    asked = tenant.api.post("/v1/decisions", json={"campaign": "on-demand", "user_id": "device"}).json()
    closed(tenant, "on-demand", 1)
    send(tenant, {"type": "identify", "userId": "ann", "anonymousId": "device", "traits": {}})
    tenant.stand.settled()
    assert closed(tenant, "on-demand", 1)["refused"] == {}
    ann = tenant.user("ann")
    assert ann is not None
    assert [d["id"] for d in ann["candidacies"]] == [asked["decision_id"]]
    assert decision(tenant, asked["decision_id"])["user_id"] == "ann"
    track(tenant, "Paid", "ann")
    with_outcome(tenant, asked["decision_id"], "converted")


def test_an_erased_user_s_decision_tells_of_nobody(tenant: Tenant) -> None:
    launch(tenant, "on-demand", {"request": True}, n_arms=15)
    send(tenant, person("ann"))
    asked = tenant.api.post("/v1/decisions", json={"campaign": "on-demand", "user_id": "ann"}).json()
    before = closed(tenant, "on-demand", 1)
    assert tenant.api.delete("/v1/users/ann").status_code == 200
    assert tenant.user("ann") is None

    def nobody() -> dict[str, object] | None:
        answer = tenant.api.get(f"/v1/decisions/{asked['decision_id']}")
        return answer.json() if answer.status_code == 200 and answer.json()["user_id"] is None else None

    audit = until(nobody, "the decision under a pseudonym", 60)
    assert (audit["arm"], audit["propensity"]) == (asked["arm"], asked["propensity"])
    assert not any(trace in str(audit) for trace in ("'ann'", "u:ann", "@example.com"))
    assert counts(tenant, "on-demand") == before


def test_another_tenant_s_ids_are_as_good_as_unknown(tenant: Tenant, other: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    track(tenant, "Joined", *people(tenant))
    message = first_message(tenant, "welcome")
    for path in (
        "campaigns/welcome",
        "campaigns/welcome/report",
        "templates/email",
        f"decisions/{message['decision_id']}",
        f"sink/messages/{message['send_key']}",
        f"users/{message['user_id']}",
    ):
        assert tenant.api.get(f"/v1/{path}").status_code == 200, path
        assert other.api.get(f"/v1/{path}").status_code == 404, path
    assert other.api.post("/v1/decisions", json={"campaign": "welcome", "user_id": "ann-0"}).status_code == 404
    assert messages(other) == []
    assert other.api.get("/v1/campaigns").json()["data"] == []


@pytest.mark.timeout(600)
def test_partitions_move_with_their_open_decisions_and_the_sums_stay(tenant: Tenant) -> None:
    """Traffic goes on while partitions go to and fro; every candidate ends as one message or one no_send."""
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant, 60)
    n_sent, enough = 0, threading.Event()

    def trigger() -> None:
        nonlocal n_sent
        while not enough.is_set():
            track(tenant, "Joined", *users[n_sent % 50 : n_sent % 50 + 10])
            n_sent += 10

    thread = threading.Thread(target=trigger)
    thread.start()
    try:
        with tenant.stand.operator() as operator:
            for partition in range(6):
                for to in (0, 1):
                    body = {"tenant": tenant.name, "partition": partition, "to": to}
                    answer = operator.post("/internal/shards/move", json=body)
                    assert answer.status_code == 200, answer.text
                    counts(tenant, "welcome")
    finally:
        enough.set()
        thread.join()
    counted = closed(tenant, "welcome", n_sent)
    assert set(counted["refused"]) <= {"decision_open"}
    n_messages, after = 0, 0
    while page := messages(tenant, after=after):
        n_messages, after = n_messages + len(page), page[-1]["serial"]
        assert {message["n_received"] for message in page} == {1}
    assert n_messages == counted["sent"]

"""Who may approve, what a review covers, and how long it is kept."""

from __future__ import annotations

import pytest

from cluster.control_plane import ControlPlane
from cluster.control_plane.audit.acting import Actor, ActorKind, acting_as
from cluster.control_plane.drafts import Kind
from cluster.control_plane.drafts.kind import MOST_DRAFTS
from cluster.control_plane.drafts.reviews import KEPT
from cluster.control_plane.etags import StaleError
from cluster.control_plane.listing import Place
from cluster.control_plane.models import DraftRow
from tests.support.approval import ADA, GRACE, ask_for_approval
from tests.unit.cluster.control_plane.drafts.contents import PUBLISHED, content, publish_directly
from whisperer.errors import ConflictError, ForbiddenError, NotFoundError

TEMPLATE = Kind.TEMPLATE


def submitted(plane: ControlPlane, by: Actor, kind: Kind = TEMPLATE, n: int = 1) -> str:
    with acting_as(by):
        plane.put_draft("acme", kind, "a", content(kind, n))
        return plane.submit_draft("acme", kind, "a").id


def test_a_key_stands_for_whoever_made_it(plane: ControlPlane) -> None:
    with acting_as(ADA):
        first = plane.create_key("acme", "secret")
    with acting_as(Actor(ActorKind.KEY, first.id)):
        second = plane.create_key("acme", "secret")
    review = submitted(plane, Actor(ActorKind.KEY, second.id, "deploy"))
    with acting_as(ADA), pytest.raises(ForbiddenError) as caught:
        plane.approve_review("acme", review)
    assert caught.value.code == "own_review"
    with acting_as(GRACE):
        assert plane.approve_review("acme", review).state == "approved"


def test_the_operator_is_one_whatever_the_account_is_called(plane: ControlPlane) -> None:
    review = submitted(plane, Actor(ActorKind.OPERATOR, name="ada"))
    with acting_as(Actor(ActorKind.OPERATOR, name="grace")), pytest.raises(ForbiddenError):
        plane.approve_review("acme", review)
    with acting_as(ADA):
        plane.approve_review("acme", review)


def test_the_operator_needs_an_approval_too(plane: ControlPlane) -> None:
    ask_for_approval(plane, "acme")
    for publish in (
        lambda: plane.put_template("acme", "a", content(TEMPLATE, 1)),
        lambda: plane.publish_segment("acme", "a", {"event": "E1"}),
        lambda: plane.create_campaign("acme", "a", content(Kind.CAMPAIGN, 1), publish=True),
        lambda: plane.put_campaign("acme", "a", content(Kind.CAMPAIGN, 1), publish=True),
    ):
        with pytest.raises(ConflictError) as caught:
            publish()
        assert caught.value.code == "approval_required"


def test_a_live_campaign_takes_up_no_newer_template_without_an_approval(plane: ControlPlane) -> None:
    plane.put_campaign("acme", "a", content(Kind.CAMPAIGN, 1), publish=True)
    plane.put_template("acme", "pinned", content(TEMPLATE, 2))
    ask_for_approval(plane, "acme")
    with pytest.raises(ConflictError) as caught:
        plane.publish_campaign("acme", "a")
    assert caught.value.code == "approval_required"
    for turn in (plane.pause_campaign, plane.resume_campaign, plane.end_campaign):
        turn("acme", "a")  # what stops or goes on is not new


def test_an_environment_has_an_answer_of_its_own(plane: ControlPlane) -> None:
    ask_for_approval(plane, "globex")
    assert plane.put_template("acme", "a", content(TEMPLATE, 1)).version == 1


@pytest.mark.parametrize("kind", PUBLISHED)
def test_what_was_approved_goes_live_whichever_call_does_it(plane: ControlPlane, kind: Kind) -> None:
    ask_for_approval(plane, "acme")
    review = submitted(plane, ADA, kind)
    with acting_as(GRACE):
        plane.approve_review("acme", review)
    with acting_as(ADA):
        assert plane.publish_draft("acme", kind, "a") == 1
    [revision] = plane.history("acme", kind, "a")
    assert (revision.by, revision.review) == ("Ada", review)
    found = plane.get_review("acme", review)
    assert (found.state, found.requested_by, found.decided_by) == ("published", "Ada", "Grace")
    assert (found.diff.before, [change.op for change in found.diff.changes]) == (None, ["added"])


def test_a_review_shows_how_it_differs_from_what_is_live_now(plane: ControlPlane) -> None:
    plane.put_template("acme", "a", content(TEMPLATE, 1))
    review = submitted(plane, ADA, n=2)
    assert plane.get_review("acme", review).diff.before == 1
    plane.put_template("acme", "a", content(TEMPLATE, 0))
    found = plane.get_review("acme", review)
    assert (found.diff.before, found.base) == (2, 1)
    [change] = found.diff.changes
    assert (change.pointer, change.before, change.after) == ("/locales/en/text", "Text 0", "Text 2")
    plane.delete_draft("acme", TEMPLATE, "a")
    ended = plane.get_review("acme", review)
    assert (ended.state, ended.diff.before, ended.content) == ("outdated", 1, content(TEMPLATE, 2))


def test_the_templates_that_a_campaign_would_pin_are_part_of_the_difference(plane: ControlPlane) -> None:
    plane.put_campaign("acme", "a", content(Kind.CAMPAIGN, 1), publish=True)
    plane.put_template("acme", "pinned", content(TEMPLATE, 2))
    plane.put_draft("acme", Kind.CAMPAIGN, "a", content(Kind.CAMPAIGN, 1))
    [change] = plane.difference("acme", Kind.CAMPAIGN, "a", "live", "draft").changes
    assert (change.pointer, change.before, change.after) == ("/template_versions/pinned", 1, 2)


def test_a_campaign_comes_back_with_the_templates_it_had_and_as_paused_as_it_is(plane: ControlPlane) -> None:
    plane.put_campaign("acme", "a", content(Kind.CAMPAIGN, 1), publish=True)
    plane.put_template("acme", "pinned", content(TEMPLATE, 2))
    plane.put_campaign("acme", "a", content(Kind.CAMPAIGN, 2), publish=True)
    plane.put_draft("acme", Kind.CAMPAIGN, "a", content(Kind.CAMPAIGN, 3))
    plane.pause_campaign("acme", "a")
    assert plane.roll_back("acme", Kind.CAMPAIGN, "a", 1) == 3
    found = plane.get_campaign("acme", "a")
    assert (found.version, found.status, found.draft_version) == (3, "paused", 4)
    assert found.campaign.arms[0].template_version == 1
    assert plane.get_draft("acme", Kind.CAMPAIGN, "a").content["trigger"] == {"event": "E3"}


def test_a_campaign_whose_segment_is_gone_does_not_come_back(plane: ControlPlane) -> None:
    plane.publish_segment("acme", "s", {"event": "E1"})
    plane.put_campaign("acme", "a", content(Kind.CAMPAIGN, 1) | {"trigger": {"segment": "s"}}, publish=True)
    plane.put_campaign("acme", "a", content(Kind.CAMPAIGN, 1), publish=True)
    plane.archive_segment("acme", "s")
    with pytest.raises(Exception, match="segment"):
        plane.roll_back("acme", Kind.CAMPAIGN, "a", 1)


def test_an_archived_segment_comes_back(plane: ControlPlane) -> None:
    plane.publish_segment("acme", "a", {"event": "E1"})
    plane.archive_segment("acme", "a")
    assert plane.history("acme", Kind.SEGMENT, "a")[0].live is False
    assert plane.roll_back("acme", Kind.SEGMENT, "a", 1) == 2
    assert [segment.version for segment in plane.list_segments("acme")] == [2]


def test_a_draft_is_written_on_top_of_what_was_read(plane: ControlPlane) -> None:
    first = plane.put_draft("acme", TEMPLATE, "a", content(TEMPLATE, 1), is_new=True)
    with pytest.raises(StaleError):
        plane.put_draft("acme", TEMPLATE, "a", content(TEMPLATE, 2), is_new=True)
    second = plane.put_draft("acme", TEMPLATE, "a", content(TEMPLATE, 2), if_match=first.etag)
    for late in (
        lambda: plane.put_draft("acme", TEMPLATE, "a", content(TEMPLATE, 3), if_match=first.etag),
        lambda: plane.delete_draft("acme", TEMPLATE, "a", if_match=first.etag),
        lambda: plane.submit_draft("acme", TEMPLATE, "a", if_match=first.etag),
        lambda: plane.publish_draft("acme", TEMPLATE, "a", if_match=first.etag),
    ):
        with pytest.raises(StaleError):
            late()
    assert plane.get_draft("acme", TEMPLATE, "a").etag == second.etag


def test_the_same_draft_again_changes_nothing(plane: ControlPlane) -> None:
    for kind in PUBLISHED:
        review = submitted(plane, ADA, kind)
        version = plane.version()
        plane.put_draft("acme", kind, "a", content(kind, 1))
        assert plane.version() == version
        assert plane.get_draft("acme", kind, "a").review == review


def test_only_whoever_submitted_withdraws_without_the_permission(plane: ControlPlane) -> None:
    review = submitted(plane, ADA)
    with acting_as(GRACE), pytest.raises(ForbiddenError):
        plane.withdraw_review("acme", review, others=False)
    with acting_as(ADA):
        assert plane.withdraw_review("acme", review, others=False).state == "withdrawn"


def test_another_tenants_review_is_not_there(plane: ControlPlane) -> None:
    review = submitted(plane, ADA)
    assert plane.page_of_reviews("globex", Place()).items == []
    for call in (plane.get_review, plane.approve_review, plane.reject_review, plane.withdraw_review):
        with pytest.raises(NotFoundError):
            call("globex", review)


def test_of_the_reviews_that_led_to_nothing_the_newest_are_kept(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert KEPT == 100
    monkeypatch.setattr("cluster.control_plane.drafts.reviews.KEPT", 3)
    ids = []
    for n in range(5):
        ids.append(submitted(plane, ADA, n=n))
        plane.withdraw_review("acme", ids[-1])
    kept = plane.page_of_reviews("acme", Place(descends=True)).items
    assert [one.id for one in kept] == sorted(ids, reverse=True)[:3]


def test_a_tenant_has_so_many_drafts_and_no_more(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    assert MOST_DRAFTS == 1_000
    monkeypatch.setattr("cluster.control_plane.drafts.kind.MOST_DRAFTS", 1)
    plane.put_draft("acme", TEMPLATE, "a", content(TEMPLATE, 1))
    with pytest.raises(ConflictError) as caught:
        plane.put_draft("acme", TEMPLATE, "b", content(TEMPLATE, 1))
    assert caught.value.code == "too_many_drafts"
    with plane._reading() as session:
        assert session.query(DraftRow).count() == 1


@pytest.mark.parametrize("kind", PUBLISHED)
def test_an_approval_is_of_this_content_and_of_no_other(plane: ControlPlane, kind: Kind) -> None:
    ask_for_approval(plane, "acme")
    review = submitted(plane, ADA, kind)
    with acting_as(GRACE):
        plane.approve_review("acme", review)
    with pytest.raises(ConflictError) as caught:
        publish_directly(plane, kind, "a", content(kind, 2))
    assert caught.value.code == "approval_required"
    assert plane.get_review("acme", review).state == "approved"
    publish_directly(plane, kind, "a", content(kind, 1))
    assert plane.get_review("acme", review).state == "published"

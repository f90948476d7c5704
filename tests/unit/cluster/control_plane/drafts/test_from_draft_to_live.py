"""Random work of two people on drafts of every kind, held against a small model of what must be true then."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from cluster.control_plane import ControlPlane
from cluster.control_plane.audit.acting import Actor, acting_as
from cluster.control_plane.drafts import Kind
from cluster.control_plane.listing import Place
from tests.support.approval import ADA, GRACE, ask_for_approval
from tests.support.keyring import KEYRING
from tests.unit.cluster.control_plane.drafts.contents import (
    PUBLISHED,
    content,
    live_content,
    number,
    publish_directly,
    version_content,
)
from whisperer.errors import WhispererError

KINDS = st.sampled_from(PUBLISHED)
CONTENTS = st.integers(0, 2)
PEOPLE = st.sampled_from([ADA, GRACE])


@dataclass
class Submitted:
    """A review in the model."""

    content: int
    by: Actor
    state: str = "open"


@dataclass
class Thing:
    """What the model knows of the one thing of a kind."""

    draft: int | None = None
    versions: list[tuple[int, str | None, int | None]] = field(default_factory=list)
    """content, review, the version it repeats"""
    reviews: dict[str, Submitted] = field(default_factory=dict)
    approved: set[int] = field(default_factory=set)
    """What somebody other than who submitted it has ever approved."""

    def pending(self) -> str | None:
        return next((id for id, one in self.reviews.items() if one.state in ("open", "approved")), None)

    def outdate(self, but: int | None) -> None:
        for one in self.reviews.values():
            if one.state in ("open", "approved") and one.content != but:
                one.state = "outdated"

    def went_live(self, wanted: int, review: str | None, repeats: int | None = None) -> None:
        self.versions.append((wanted, review, repeats))
        if self.draft == wanted:
            self.draft = None
        for one in self.reviews.values():
            if one.content == wanted and one.state in ("open", "approved"):
                one.state = "published" if one.state == "approved" else "outdated"


class FromDraftToLive(RuleBasedStateMachine):
    empty: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "control.db"
        shutil.copy(self.empty, path)
        self.plane = ControlPlane(f"sqlite:///{path}", keyring=KEYRING)
        self.is_asked = False
        self.things = {kind: Thing() for kind in PUBLISHED}
        self.tags: dict[tuple[Kind, int], str] = {}

    def teardown(self) -> None:
        self.plane.close()
        self.folder.cleanup()

    def outcome(self, who: Actor, what: Any, *args: Any, **more: Any) -> str | Any:
        """What a call answers, or the code of its refusal."""
        with acting_as(who):
            try:
                return what(*args, **more)
            except WhispererError as error:
                return error.code

    def is_refused(self, thing: Thing, wanted: int) -> bool:
        id = thing.pending()
        is_approved = id is not None and thing.reviews[id].state == "approved" and thing.reviews[id].content == wanted
        return self.is_asked and not is_approved

    def review_of(self, thing: Thing, wanted: int) -> str | None:
        id = thing.pending()
        return (
            id
            if id is not None and (thing.reviews[id].content, thing.reviews[id].state) == (wanted, "approved")
            else None
        )

    @rule(kind=KINDS, wanted=CONTENTS, who=PEOPLE)
    def write(self, kind: Kind, wanted: int, who: Actor) -> None:
        thing = self.things[kind]
        self.outcome(who, self.plane.put_draft, "acme", kind, "a", content(kind, wanted))
        thing.outdate(wanted)
        thing.draft = wanted

    @rule(kind=KINDS, who=PEOPLE)
    def delete(self, kind: Kind, who: Actor) -> None:
        thing = self.things[kind]
        answer = self.outcome(who, self.plane.delete_draft, "acme", kind, "a")
        assert (answer == "draft_not_found") == (thing.draft is None)
        thing.draft = None
        thing.outdate(None)

    @rule(kind=KINDS, who=PEOPLE)
    def submit(self, kind: Kind, who: Actor) -> None:
        thing = self.things[kind]
        answer = self.outcome(who, self.plane.submit_draft, "acme", kind, "a")
        if thing.draft is None or thing.pending() is not None:
            assert answer == ("draft_not_found" if thing.draft is None else "review_pending")
        else:
            thing.reviews[answer.id] = Submitted(thing.draft, who)

    @rule(kind=KINDS, who=PEOPLE, ending=st.sampled_from(["approve", "approve", "reject", "withdraw"]))
    def decide(self, kind: Kind, who: Actor, ending: str) -> None:
        thing = self.things[kind]
        for id, one in thing.reviews.items():
            answer = self.outcome(who, getattr(self.plane, f"{ending}_review"), "acme", id)
            if ending != "withdraw" and one.by is who:
                assert answer == "own_review"
            elif one.state == "open" or (ending == "withdraw" and one.state == "approved"):
                one.state = {"approve": "approved", "reject": "rejected", "withdraw": "withdrawn"}[ending]
                if ending == "approve":
                    thing.approved.add(one.content)
            else:
                assert answer == "review_closed"

    @rule(kind=KINDS, who=PEOPLE)
    def publish(self, kind: Kind, who: Actor) -> None:
        thing = self.things[kind]
        answer = self.outcome(who, self.plane.publish_draft, "acme", kind, "a")
        if thing.draft is None:
            assert answer == ("nothing_to_publish" if thing.versions else f"{kind}_not_found")
        elif self.is_refused(thing, thing.draft):
            assert answer == "approval_required"
        else:
            thing.went_live(thing.draft, self.review_of(thing, thing.draft))
            assert answer == len(thing.versions)

    @rule(kind=KINDS, wanted=CONTENTS, who=PEOPLE)
    def publish_without_a_draft(self, kind: Kind, wanted: int, who: Actor) -> None:
        thing = self.things[kind]
        answer = self.outcome(who, publish_directly, self.plane, kind, "a", content(kind, wanted))
        if self.is_refused(thing, wanted):
            assert answer == "approval_required"
            return
        review = self.review_of(thing, wanted)
        if kind is Kind.CAMPAIGN:  # it is written as the draft first
            thing.outdate(wanted)
            thing.draft = wanted
        thing.went_live(wanted, review)

    @rule(kind=KINDS, to=st.integers(1, 4), who=PEOPLE)
    def roll_back(self, kind: Kind, to: int, who: Actor) -> None:
        thing = self.things[kind]
        answer = self.outcome(who, self.plane.roll_back, "acme", kind, "a", to)
        if to > len(thing.versions):
            assert answer in ("version_not_found", f"{kind}_not_found")
        elif to == len(thing.versions):
            assert answer == "nothing_to_roll_back"
        elif self.is_asked and thing.versions[to - 1][1] is None:
            assert answer == "approval_required"
        else:
            wanted, review, _ = thing.versions[to - 1]
            thing.went_live(wanted, review, to)
            assert answer == len(thing.versions)

    @rule(wanted=st.booleans())
    def ask(self, wanted: bool) -> None:
        ask_for_approval(self.plane, "acme", wanted)
        if wanted and not self.is_asked:
            self.n_before = {kind: len(thing.versions) for kind, thing in self.things.items()}
        self.is_asked = wanted

    @invariant()
    def what_went_live_while_approval_was_asked_for_was_approved(self) -> None:
        if self.is_asked:
            for kind, thing in self.things.items():
                if len(thing.versions) > self.n_before[kind]:
                    assert live_content(self.plane, kind, "a") in thing.approved

    @invariant()
    def nothing_is_lost_and_versions_grow_by_one(self) -> None:
        for kind, thing in self.things.items():
            found = [] if not thing.versions else self.plane.history("acme", kind, "a")
            assert [one.version for one in reversed(found)] == list(range(1, len(thing.versions) + 1))
            assert [(one.review, one.rolled_back_to) for one in reversed(found)] == [
                (review, repeats) for _, review, repeats in thing.versions
            ]
            assert [one.live for one in found] == [True, *[False] * (len(found) - 1)][: len(found)]
            for version, (wanted, _, _) in enumerate(thing.versions, 1):
                assert version_content(self.plane, kind, "a", version) == wanted

    @invariant()
    def the_draft_and_its_tag_are_those_of_its_content(self) -> None:
        for kind, thing in self.things.items():
            draft = self.outcome(ADA, self.plane.get_draft, "acme", kind, "a")
            if thing.draft is None:
                assert draft == "draft_not_found"
                continue
            assert number(kind, draft.content) == thing.draft
            assert draft.review == thing.pending()
            assert self.tags.setdefault((kind, thing.draft), draft.etag) == draft.etag
        assert len(set(self.tags.values())) == len(self.tags)

    @invariant()
    def reviews_are_in_the_state_they_came_to(self) -> None:
        found = {one.id: one.state for one in self.plane.page_of_reviews("acme", Place()).items}
        assert found == {id: one.state for thing in self.things.values() for id, one in thing.reviews.items()}


@pytest.mark.timeout(900)
def test_what_is_live_was_approved_and_nothing_is_lost(acme_database: Path) -> None:
    class Here(FromDraftToLive):
        empty = acme_database

    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=8,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.mark.parametrize("kind", PUBLISHED)
def test_what_was_published_before_this_record_has_a_history_without_names(plane: ControlPlane, kind: Kind) -> None:
    from cluster.control_plane.models import RevisionRow

    publish_directly(plane, kind, "a", content(kind, 1))
    with plane._writing() as session:
        for row in session.query(RevisionRow):
            session.delete(row)
    [found] = plane.history("acme", kind, "a")
    assert (found.version, found.by, found.review, found.live) == (1, None, None, True)
    assert found.at is not None

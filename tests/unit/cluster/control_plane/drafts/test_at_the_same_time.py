"""Several people at once: of those who build on the same state, one succeeds, and what they did adds up."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.control_plane import ControlPlane
from cluster.control_plane.drafts import Kind
from cluster.control_plane.etags import StaleError
from tests.support.keyring import KEYRING
from tests.unit.cluster.control_plane.drafts.contents import (
    PUBLISHED,
    content,
    furnish,
    number,
    publish_directly,
    version_content,
)

AT_ONCE = 4


@pytest.fixture(scope="module")
def shared(plane_url_of_module: str) -> Iterator[ControlPlane]:
    with ControlPlane(plane_url_of_module, keyring=KEYRING) as plane:
        furnish(plane)
        yield plane


def all_at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """What each answered, or its error; all begin together."""
    begin = threading.Barrier(len(calls))
    answers: list[Any] = [None] * len(calls)

    def run(at: int) -> None:
        begin.wait()
        try:
            answers[at] = calls[at]()
        except Exception as error:
            answers[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def won(answers: list[Any]) -> list[Any]:
    losers = [one for one in answers if isinstance(one, Exception)]
    assert all(isinstance(one, StaleError) for one in losers), losers
    return [one for one in answers if not isinstance(one, Exception)]


@pytest.mark.parametrize("kind", PUBLISHED)
def test_of_those_who_publish_the_same_draft_one_does(shared: ControlPlane, kind: Kind) -> None:
    name = f"same-draft-{kind}"
    tag = shared.put_draft("acme", kind, name, content(kind, 1)).etag
    publish = lambda: shared.publish_draft("acme", kind, name, if_match=tag)  # noqa: E731
    assert won(all_at_once([publish] * AT_ONCE)) == [1]
    assert [one.version for one in shared.history("acme", kind, name)] == [1]


NAMES = itertools.count()
ACTIONS = st.lists(
    st.tuples(st.sampled_from(["write", "publish", "roll back"]), st.integers(2, 9)), min_size=2, max_size=AT_ONCE
)


@pytest.mark.parametrize("kind", PUBLISHED)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(actions=ACTIONS)
def test_whatever_is_done_at_once_adds_up(shared: ControlPlane, kind: Kind, actions: list[tuple[str, int]]) -> None:
    name = f"at-once-{kind}-{next(NAMES)}"
    for n in (0, 1):
        publish_directly(shared, kind, name, content(kind, n))
    draft = shared.put_draft("acme", kind, name, content(kind, 10)).etag
    answers = all_at_once(
        [
            {
                "write": lambda n=n: shared.put_draft("acme", kind, name, content(kind, n), if_match=draft),
                "publish": lambda: shared.publish_draft("acme", kind, name, if_match=draft),
                "roll back": lambda: shared.roll_back("acme", kind, name, 1),
            }[action]
            for action, n in actions
        ]
    )
    assert len(won([a for a, (what, _) in zip(answers, actions, strict=True) if what != "roll back"])) <= 1
    rolled = [a for a, (what, _) in zip(answers, actions, strict=True) if what == "roll back"]
    assert all(isinstance(one, int) for one in rolled), rolled
    published = [a for a, (what, _) in zip(answers, actions, strict=True) if what == "publish" and isinstance(a, int)]
    history = shared.history("acme", kind, name)
    assert [one.version for one in history] == list(range(2 + len(rolled) + len(published), 0, -1))
    assert sorted(rolled + published) == list(range(3, 3 + len(rolled) + len(published)))
    for version in rolled:
        assert version_content(shared, kind, name, version) == 0
    for version in published:
        assert version_content(shared, kind, name, version) == 10
    written = [
        a for a, (what, _) in zip(answers, actions, strict=True) if what == "write" and not isinstance(a, Exception)
    ]
    if not published:
        left = shared.get_draft("acme", kind, name)
        assert number(kind, left.content) == (number(kind, written[0].content) if written else 10)

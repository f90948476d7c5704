"""A unit test touches no cluster: Ray would start one by itself where a call needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import ray


@pytest.fixture(autouse=True)
def no_cluster() -> Iterator[None]:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a unit test asked for a cluster")

    with pytest.MonkeyPatch.context() as patch:  # one of its own: a test's patches are undone before other fixtures end
        patch.setattr(ray, "init", refuse)
        yield

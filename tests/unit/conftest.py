"""A unit test touches no cluster: Ray would start one by itself where a call needs it. Nor does it wait for the disk."""

from __future__ import annotations

import os
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


@pytest.fixture(autouse=True, scope="package")
def unsynced() -> Iterator[None]:
    """What a sync is for shows after a power cut, and so in none of these tests: tests/faults and tests/contracts look
    at it. Thousands of small files that each wait for the disk took half of the warehouse's time here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        patch.setattr(os, "fdatasync", lambda descriptor: None)
        yield

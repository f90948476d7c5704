"""Keep the class path that shards of the release before were started under, for one release.

Ray starts an actor that died again by the path it was made with. More is not promised: what runs on the release before
cannot work with this one (CHANGELOG.md), so both should not run together. The shard actor is in
:mod:`actors.shard.actor`.
"""

from __future__ import annotations

from actors.shard.actor import ShardActor

__all__ = ["ShardActor"]

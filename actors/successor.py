"""Keep the class path that successors of the release before were started under, for one release.

See :mod:`actors.shard_actor`. The successor is in :mod:`actors.shard.successor`.
"""

from __future__ import annotations

from actors.shard.successor import ShardActor

__all__ = ["ShardActor"]

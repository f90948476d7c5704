"""Run the directory: which shard is home to which partition, and who starts and ends shards.

The actor's class has its path here, too: installations of the release before started it as
`actors.directory.Directory`.
"""

from __future__ import annotations

from actors.directory.actor import Directory

__all__ = ["Directory"]

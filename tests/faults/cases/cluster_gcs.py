"""kill -9 of the head's GCS in a cluster of three nodes, its state in Redis; `whisperer up` starts it again."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.clusters import on_three_nodes, scratch, under_load
from tests.faults.killing import epochs, kill_shards, newer_epochs

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with scratch() as folder, on_three_nodes(folder) as stand:
        with under_load(options, stand) as scene:

            def kill_and_revive() -> None:
                stand.kill_gcs()
                stand.run("up")

            for _ in range(options.rounds):
                scene.strike(kill_and_revive)
            before = epochs(stand, [0])
            scene.strike(lambda: kill_shards(stand, [0]), is_over=newer_epochs(stand, before))
        return scene.result("in the last round a shard is killed: the GCS that came back starts it again")

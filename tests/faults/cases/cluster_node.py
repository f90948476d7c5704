"""kill -9 of everything on a node that has shards, in a cluster of three; its shards go on elsewhere."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.clusters import on_three_nodes, scratch, under_load
from tests.faults.killing import epochs, newer_epochs

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with scratch() as folder, on_three_nodes(folder) as stand:
        with under_load(options, stand) as scene:
            for _ in range(min(options.rounds, 2)):
                node = stand.node_of(0)
                before = epochs(stand, [0])
                scene.strike(lambda n=node: stand.kill_node(n), is_over=newer_epochs(stand, before))
                stand.join(node)
        return scene.result("journal in Redis; Ray gives the node up after 5 s; it joins again afterwards")

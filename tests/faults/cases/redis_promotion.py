"""kill -9 of the Redis that keeps the journals, for good; a replica that acknowledged is promoted."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.clusters import on_redis, scratch, under_load
from tests.support.redis_stand import RedisServer, redis_server

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with scratch() as folder, redis_server(folder / "redis-0") as first:
        group = [first, *(first.replica(folder / f"redis-{n}") for n in (1, 2))]
        url = "redis://" + ",".join(f"127.0.0.1:{server.port}" for server in group) + "/0"
        try:
            with on_redis(folder, JOURNAL_URL=url, JOURNAL_WAIT_REPLICAS=1) as stand:
                with under_load(options, stand) as scene:
                    for _ in range(options.rounds):
                        scene.strike(lambda: _fail_over(group))
                return scene.result(
                    "two replicas, acknowledged by one; the one that is ahead is promoted, as Sentinel does"
                )
        finally:
            for server in group:
                server.kill()


def _fail_over(group: list[RedisServer]) -> None:
    """The master dies; the best of the others takes its place, the rest follow it, the dead one too once it is back."""
    master = group.pop(0)
    master.kill()
    group.sort(key=_offset, reverse=True)
    chosen, other = group
    chosen.promote()
    for follower in (other, master):
        follower.options["replicaof"] = f"127.0.0.1 {chosen.port}"
    with other.client() as client:
        client.replicaof("127.0.0.1", chosen.port)
    group.append(master.start())


def _offset(replica: RedisServer) -> int:
    with replica.client() as client:
        return int(client.info("replication")["slave_repl_offset"])

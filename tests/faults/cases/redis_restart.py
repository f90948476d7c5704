"""kill -9 of the Redis that keeps the journals; it is started again and reads its append-only file."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.clusters import on_redis, scratch, under_load
from tests.support.redis_stand import redis_server

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with (
        scratch() as folder,
        redis_server(folder / "redis") as server,
        on_redis(folder, JOURNAL_URL=server.url) as stand,
    ):
        with under_load(options, stand) as scene:

            def restart() -> None:
                server.kill()
                server.start()

            for _ in range(options.rounds):
                scene.strike(restart)
        return scene.result("Redis was started again at once")

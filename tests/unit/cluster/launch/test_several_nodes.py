from __future__ import annotations

import json
import os
from pathlib import Path

import msgspec
import pytest

from cluster import settings
from cluster.errors import InstallationError, SettingsError
from cluster.launch import gcs, ray_head, serve_config, worker_node
from cluster.launch.gcs import GcsCommand
from cluster.launch.installation import Installation
from cluster.launch.pids import identify
from cluster.launch.ports import ports_of_block
from cluster.launch.worker_node import Node
from cluster.private_files import write_private


def changed(installation: Installation, **cluster: object) -> Installation:
    assert installation.settings is not None
    section = msgspec.structs.replace(installation.settings.cluster, **cluster)
    installation.settings = msgspec.structs.replace(installation.settings, cluster=section)
    return installation


def options(command: list[str]) -> dict[str, str]:
    return dict(word[2:].split("=", 1) for word in command if word.startswith("--") and "=" in word)


def node(folder: Path, **more: object) -> Node:
    made = Node(
        name="one",
        machine="elsewhere",
        address="10.0.0.7",
        temp_dir=str(folder / "uw-8"),
        ports=ports_of_block(8, 8000),
    )
    return msgspec.structs.replace(made, **more)


def recorded(installation: Installation, found: Node) -> Node:
    folder = Path(installation.data_dir) / "nodes" / found.name
    folder.mkdir(parents=True)
    write_private(folder / "installation.json", msgspec.json.encode(found))
    return found


def test_without_a_redis_nothing_of_it_reaches_ray(configured: Installation) -> None:
    assert gcs.environment(configured) == gcs.head_environment(configured) == gcs.start_options(configured) == {}
    assert gcs.fresh_namespace(configured, "") == ""


def test_the_head_alone_is_told_where_rays_state_is_kept(configured: Installation) -> None:
    changed(configured, gcs_redis="redis://me:s%40fe@there:7000/0").gcs_namespace = "mine"
    assert gcs.head_environment(configured) == {
        "RAY_REDIS_ADDRESS": "there:7000",
        "RAY_external_storage_namespace": "mine",
    }
    assert "RAY_REDIS_ADDRESS" not in ray_head.environment(configured)
    told = options(ray_head.start_command(configured))
    assert (told["redis-username"], told["redis-password"]) == ("me", "s@fe")


def test_every_start_of_a_head_has_a_namespace_of_its_own(configured: Installation) -> None:
    url = "rediss://there"
    assert gcs.fresh_namespace(configured, url) != gcs.fresh_namespace(configured, url)
    assert configured.id in gcs.fresh_namespace(configured, url)


@pytest.mark.parametrize("url", ["http://:secret@there", "redis://:secret@a,b/0", "redis://:secret@there/1", "secret"])
def test_a_wrong_redis_of_ray_is_refused_without_quoting_it(configured: Installation, url: str) -> None:
    with pytest.raises(SettingsError, match=r"cluster\.gcs_redis") as refused:
        gcs.fresh_namespace(configured, url)
    assert "secret" not in str(refused.value)


def test_a_gcs_that_died_alone_is_started_by_the_command_recorded(configured: Installation) -> None:
    record = GcsCommand(["/bin/sleep", "0"], {"PATH": "/bin"})
    write_private(Path(configured.data_dir) / gcs.RECORD, msgspec.json.encode(record))
    this = identify(os.getpid())
    assert this is not None
    configured.head = [this]
    assert not gcs.revive(configured), "this process is no raylet, so the head is down as a whole"
    assert (Path(configured.data_dir) / gcs.RECORD).stat().st_mode & 0o077 == 0


def test_head_and_nodes_say_which_they_are(configured: Installation, tmp_path: Path) -> None:
    head = options(ray_head.start_command(configured))
    worker = options(worker_node._start_command(configured, node(tmp_path), 3))
    assert set(json.loads(head["resources"])) == {ray_head.HEAD}
    assert set(json.loads(worker["resources"])) == {ray_head.WORKER}
    assert (worker["address"], worker["num-cpus"]) == (configured.ray_address, "3")
    assert {name for name in head if "port" in name and head[name] == worker.get(name)} == set()


def test_replicas_stay_on_the_head_only_where_told(configured: Installation) -> None:
    def places() -> list[dict[str, float] | None]:
        applications = serve_config.build(configured)["applications"]
        return [d["ray_actor_options"].get("resources") for a in applications for d in a["deployments"]]

    assert set(map(str, places())) == {"None"}
    changed(configured, applications_on_head=True)
    assert all(place == {ray_head.HEAD: 0.001} for place in places())


def test_actors_and_launcher_mean_the_same_by_head_and_worker() -> None:
    from actors.directory import starting

    assert (starting.HEAD, starting.WORKER) == (ray_head.HEAD, ray_head.WORKER)


def test_shards_on_other_nodes_reserve_nothing_of_the_head(configured: Installation) -> None:
    assert configured.settings is not None
    before = settings.reserved_cpus(configured.settings)
    changed(configured, shards_on_workers=True)
    shards = configured.settings.cluster.shards * configured.settings.cluster.cpu_shard
    assert settings.reserved_cpus(configured.settings) == pytest.approx(before - shards)


def test_only_a_loopback_head_keeps_ray_from_replacing_its_address(configured: Installation) -> None:
    assert configured.client_environment()["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0"
    configured.ray_address = "10.0.0.1:1234"
    assert "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER" not in configured.client_environment()


@pytest.mark.parametrize(
    ("name", "address", "said"),
    [
        ("one", "10.0.0.8", "set cluster.node_address"),
        ("../one", "127.0.0.1", "cannot be a node's name"),
        ("one", "127.0.0.1", "a node of elsewhere"),
    ],
)
def test_a_node_that_cannot_join_is_told_why(
    configured: Installation, tmp_path: Path, name: str, address: str, said: str
) -> None:
    recorded(configured, node(tmp_path))
    with pytest.raises(InstallationError, match=said):
        worker_node.join(Path(configured.data_dir), name, address=address, num_cpus=1)


def test_a_node_of_another_machine_is_listed_but_not_ended_here(configured: Installation, tmp_path: Path) -> None:
    found = recorded(configured, node(tmp_path, raylet=identify(os.getpid())))
    data_dir = Path(configured.data_dir)
    assert worker_node.nodes(data_dir) == [found]
    assert not found.running
    with pytest.raises(InstallationError, match="leave there"):
        worker_node.leave(data_dir, "one")
    with pytest.raises(InstallationError, match="known: one"):
        worker_node.leave(data_dir, "two")

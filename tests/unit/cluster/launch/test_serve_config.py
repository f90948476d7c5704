from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ray.serve.schema import ServeDeploySchema

from cluster import settings
from cluster.launch import serve_config
from cluster.launch.installation import Installation


def kept(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Places of our document that Ray's parsed and re-written one lacks or changed."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        missing = [f"{at}/{key}" for key in ours if key not in theirs]
        return missing + [p for key in ours if key in theirs for p in kept(ours[key], theirs[key], f"{at}/{key}")]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        return [p for i, (a, b) in enumerate(zip(ours, theirs, strict=True)) for p in kept(a, b, f"{at}/{i}")]
    return [] if ours == theirs else [f"{at}: {ours!r} became {theirs!r}"]


def parsed(config: dict[str, Any]) -> dict[str, Any]:
    return ServeDeploySchema.model_validate(config).model_dump(mode="json", exclude_unset=True)


def scaled(configured: Installation, **changes: int) -> Installation:
    assert configured.settings is not None
    gateway = msgspec.structs.replace(configured.settings.gateway, **changes)
    configured.settings = msgspec.structs.replace(configured.settings, gateway=gateway)
    return configured


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("with_applications", [True, False])
def test_ray_serve_keeps_every_key_of_ours(configured: Installation, most: int, with_applications: bool) -> None:
    config = serve_config.build(scaled(configured, max_replicas=most), with_applications=with_applications)
    assert kept(config, parsed(config)) == []


def test_a_key_that_ray_serve_does_not_know_would_be_noticed(configured: Installation) -> None:
    config = serve_config.build(configured)
    config["applications"][0]["deployments"][0]["num_repicas"] = 1
    config["aplications"] = []
    assert kept(config, parsed(config)) == ["/aplications", "/applications/0/deployments/0/num_repicas"]


def test_the_gateway_is_named_by_import_string_and_told_where_the_record_is(configured: Installation) -> None:
    gateway = serve_config.build(configured)["applications"][0]
    assert gateway["import_path"] == "serve_apps.gateway.app:build"
    assert gateway["args"] == {"installation": str(configured.path)}
    assert gateway["route_prefix"] == "/"


def test_each_deployment_reserves_its_share_of_the_cpu_table(configured: Installation) -> None:
    assert configured.settings is not None
    cpus = configured.settings.cluster
    reserved = [
        d["ray_actor_options"]["num_cpus"]
        for application in serve_config.build(configured)["applications"]
        for d in application["deployments"]
    ]
    assert reserved == [cpus.cpu_gateway, cpus.cpu_decisions, cpus.cpu_content, cpus.cpu_delivery]
    assert sum(reserved) + cpus.shards * cpus.cpu_shard + cpus.cpu_directory + cpus.cpu_learner <= 1.0 + 1e-9


def test_what_shards_call_has_no_route(configured: Installation) -> None:
    called = serve_config.build(configured)["applications"][1:]
    assert [a["name"] for a in called] == ["decisions", "content", "delivery"]
    assert all(a["route_prefix"] is None for a in called)


def test_replicas_are_fixed_unless_the_bounds_differ(configured: Installation) -> None:
    def deployment() -> dict[str, Any]:
        return serve_config.build(configured)["applications"][0]["deployments"][0]

    assert deployment()["num_replicas"] == 1
    scaled(configured, max_replicas=3)
    assert "num_replicas" not in deployment()
    assert deployment()["autoscaling_config"]["max_replicas"] == 3


def test_requests_are_not_logged_one_by_one(configured: Installation) -> None:
    config = serve_config.build(configured)
    assert config["logging_config"]["enable_access_log"] is False
    assert all(d["logging_config"]["enable_access_log"] is False for d in config["applications"][0]["deployments"])


def test_the_server_listens_where_the_settings_say(configured: Installation) -> None:
    assert settings.load(configured.logs.parent, environment={}).server.host == "127.0.0.1"
    assert serve_config.build(configured)["http_options"]["host"] == "127.0.0.1"


def test_paths_of_the_release_before_lead_to_todays_code() -> None:
    """A Serve controller that starts again still has the old configuration; programs import the record's reader."""
    from cluster import autoscaling, installation
    from cluster.launch import autoscaling as autoscaling_today
    from cluster.launch import installation as installation_today

    assert autoscaling.by_calls is autoscaling_today.by_calls
    assert installation.load is installation_today.load

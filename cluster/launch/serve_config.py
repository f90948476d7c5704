"""Builds the Ray Serve configuration: which applications run, with how many replicas and what share of a CPU.

Applications are named by import string, never imported. Ray silently drops keys it does not know; a test proves that it
keeps every one of ours.
"""

from __future__ import annotations

from typing import Any

from cluster.launch.installation import Installation
from cluster.launch.ray_head import HEAD
from whisperer.settings import ApplicationSettings

GATEWAY_APPLICATION = "gateway"
_KEEP_ALIVE_S = 90
_LOOK_EVERY_S = 1.0
"""A dead replica is noticed at the next look, which is one small call."""
_GRACE_S = 5.0
DELIVERY_GRACE_S = 800.0
"""Time given to a replica that is no longer wanted to finish its calls: more than the longest send may take."""


def build(installation: Installation, *, with_applications: bool = True) -> dict[str, Any]:
    """Return a ``ray.serve.schema.ServeDeploySchema`` as a dict; without applications it only starts Serve itself."""
    ports, settings = installation.configured()
    return {
        "proxy_location": "HeadOnly",
        "http_options": {
            "host": settings.server.host,
            "port": settings.server.port,
            "keep_alive_timeout_s": _KEEP_ALIVE_S,
        },
        # No gRPC application exists, so this port stays closed; it is still reserved for us.
        "grpc_options": {"port": ports.serve_grpc, "grpc_servicer_functions": []},
        "logging_config": _logging(installation),
        "applications": _applications(installation) if with_applications else [],
    }


def _applications(installation: Installation) -> list[dict[str, Any]]:
    _, settings = installation.configured()
    programs, cluster = settings.programs, settings.cluster
    called = (
        ("decisions", "Decisions", programs.decisions, settings.decisions, cluster.cpu_decisions, _GRACE_S),
        ("content", "Content", programs.content, settings.content, cluster.cpu_content, _GRACE_S),
        ("delivery", "Delivery", programs.delivery, settings.delivery, cluster.cpu_delivery, DELIVERY_GRACE_S),
    )
    return [
        _gateway(installation),
        *(_called(installation, *parts) for parts in called if parts[2]),
    ]


def _called(
    installation: Installation,
    name: str,
    deployment: str,
    import_path: str,
    settings: ApplicationSettings,
    cpus: float,
    grace_s: float,
) -> dict[str, Any]:
    """Return the configuration of an application that shards call by its handle; it has no route."""
    return {
        "name": name,
        "route_prefix": None,
        "import_path": import_path,
        "args": {"installation": str(installation.path)},
        "runtime_env": {},
        "deployments": [
            {
                "name": deployment,
                "max_ongoing_requests": settings.max_ongoing_requests,
                "graceful_shutdown_timeout_s": grace_s,
                "health_check_period_s": _LOOK_EVERY_S,
                "health_check_timeout_s": 15.0,
                "ray_actor_options": _actor_options(installation, cpus),
                "logging_config": _logging(installation),
                **_replicas(settings.min_replicas, settings.max_replicas, settings.target_ongoing_requests),
            }
        ],
    }


def _gateway(installation: Installation) -> dict[str, Any]:
    _, settings = installation.configured()
    gateway = settings.gateway
    return {
        "name": GATEWAY_APPLICATION,
        "route_prefix": "/",
        "import_path": settings.programs.gateway,
        "args": {"installation": str(installation.path)},
        "runtime_env": {},
        "deployments": [
            {
                "name": "Gateway",
                "max_ongoing_requests": gateway.max_ongoing_requests,
                "max_queued_requests": gateway.max_ongoing_requests,
                "graceful_shutdown_timeout_s": 10.0,
                "health_check_period_s": _LOOK_EVERY_S,
                "health_check_timeout_s": 15.0,
                "ray_actor_options": _actor_options(installation, settings.cluster.cpu_gateway),
                "logging_config": _logging(installation),
                **_replicas(gateway.min_replicas, gateway.max_replicas, gateway.target_ongoing_requests),
            }
        ],
    }


def _logging(installation: Installation) -> dict[str, Any]:
    """Configure Serve's own log lines; `actors.telemetry.logs` handles those of the applications."""
    _, settings = installation.configured()
    return {
        "encoding": "JSON" if settings.logs.json else "TEXT",
        "log_level": "WARNING",
        "enable_access_log": False,
    }


def _actor_options(installation: Installation, cpus: float) -> dict[str, Any]:
    _, settings = installation.configured()
    where = {"resources": {HEAD: 0.001}} if settings.cluster.applications_on_head else {}
    return {"num_cpus": cpus, **where}


def _replicas(fewest: int, most: int, target_ongoing_requests: int) -> dict[str, Any]:
    """Return a fixed number if there is nothing to scale, because every change of replicas makes HAProxy reload."""
    if fewest == most:
        return {"num_replicas": fewest}
    return {
        "autoscaling_config": {
            "min_replicas": fewest,
            "max_replicas": most,
            "target_ongoing_requests": target_ongoing_requests,
            "upscale_delay_s": 5.0,
            "downscale_delay_s": 120.0,
            "policy": {"policy_function": "cluster.launch.autoscaling:by_calls"},
        }
    }

"""Submits the Serve configuration to Ray and waits until the applications run.

Uses the dashboard's REST API, `PUT /api/serve/applications/`: its process is running anyway, whereas a driver of our
own would load Serve once more, which takes one core four seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx

from cluster.errors import StartError
from cluster.launch import serve_config
from cluster.launch.installation import Installation

_PATH = "/api/serve/applications/"
_FAILED = {"DEPLOY_FAILED", "UNHEALTHY"}


class ServeDeployer:
    """Talks to the dashboard of one installation. Raises StartError for anything that prevents a deployment."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        with open(installation.ray_token_path) as file:
            token = file.read().strip()
        self._client = httpx.Client(
            base_url=installation.dashboard_url,
            headers={"Authorization": f"Bearer {token}"},
            timeout=120.0,  # starting Serve is one request
            trust_env=False,  # a proxy from the environment cannot reach this machine's loopback
        )

    def __enter__(self) -> ServeDeployer:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def start_serve(self, deadline: float) -> None:
        """Start Serve's controller and HAProxy, without applications; ``deadline`` is a ``time.monotonic`` time."""
        self._put(serve_config.build(self._installation, with_applications=False), deadline)

    def deploy(self, deadline: float, waiting_for: Callable[[str], None]) -> None:
        """Deploy the applications and wait until each is RUNNING; ``deadline`` is a ``time.monotonic`` time."""
        self._put(serve_config.build(self._installation), deadline)
        while True:
            applications = self._status()
            not_running = {name: a for name, a in applications.items() if a["status"] != "RUNNING"}
            if applications and not not_running:
                return
            for name, application in not_running.items():
                if application["status"] in _FAILED:
                    raise StartError(f"application {name} failed to start: {_why(application)}")
            waiting_for(", ".join(_progress(name, a) for name, a in not_running.items()) or "applications")
            if time.monotonic() > deadline:
                reasons = "; ".join(f"{name} is {a['status']}: {_why(a)}" for name, a in not_running.items())
                raise StartError(f"applications did not start in time: {reasons or 'Serve lists none'}")
            time.sleep(0.2)

    def _put(self, config: dict[str, Any], deadline: float) -> None:
        """Send a configuration, repeatedly while the dashboard itself fails: sending it twice changes nothing."""
        while True:
            try:
                answer = self._client.put(_PATH, json=config)
            except httpx.HTTPError as error:
                status, said = 0, f"{type(error).__name__} {error}"
            else:
                status, said = answer.status_code, answer.text[-2000:]
            if status == 200:
                return
            if 400 <= status < 500:
                raise StartError(f"Ray Serve refused the configuration ({status}): {said}")
            if time.monotonic() > deadline:
                raise StartError(f"Ray's dashboard at {self._client.base_url} did not take the configuration: {said}")
            time.sleep(1.0)

    def _status(self) -> dict[str, Any]:
        try:
            answer = self._client.get(_PATH)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise StartError(f"Ray's dashboard at {self._client.base_url} does not answer: {error!r}") from None
        applications: dict[str, Any] = answer.json()["applications"]
        return applications


def _progress(name: str, application: dict[str, Any]) -> str:
    states = [r["state"] for d in application.get("deployments", {}).values() for r in d.get("replicas", [])]
    return f"{name} ({application['status'].lower()}, {states.count('RUNNING')} of {len(states)} replicas)"


def _why(application: dict[str, Any]) -> str:
    messages = [application.get("message", "")]
    messages += [d.get("message", "") for d in application.get("deployments", {}).values()]
    return "\n".join(m.strip() for m in messages if m.strip()) or "no reason given"

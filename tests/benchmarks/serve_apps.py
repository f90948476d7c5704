"""Deploys a further application beside the gateway of a stand, through Ray Serve's own REST API."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx

from tests.support.stand import Stand


def deploy_beside(stand: Stand, name: str, import_path: str, route_prefix: str, timeout_s: float = 120.0) -> None:
    record = json.loads((stand.data_dir / "installation.json").read_bytes())
    token = Path(record["ray_token_path"]).read_text().strip()
    headers = {"Authorization": f"Bearer {token}", "X-Ray-Authorization": f"Bearer {token}"}
    url = f"{record['dashboard_url']}/api/serve/applications/"
    current = httpx.get(url, headers=headers, timeout=30).json()
    applications = [
        app["deployed_app_config"] for app in current["applications"].values() if app.get("deployed_app_config")
    ]
    config = {
        "proxy_location": current["proxy_location"],
        "http_options": {k: current["http_options"][k] for k in ("host", "port", "keep_alive_timeout_s")},
        "applications": [
            *applications,
            {"name": name, "route_prefix": route_prefix, "import_path": import_path, "args": {}, "runtime_env": {}},
        ],
    }
    httpx.put(url, json=config, headers=headers, timeout=60).raise_for_status()
    deadline = time.monotonic() + timeout_s
    while True:
        answer = httpx.post(f"{stand.url}{route_prefix}/x", content=b"{}", timeout=10)
        if answer.status_code == 200:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{name} did not come up: {answer.status_code} {answer.text}")
        time.sleep(0.2)

"""What HAProxy answers while it knows no route. The real HAProxy, on the lines of Ray's own configuration."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from ray.serve._private import haproxy_templates

from cluster import haproxy_program, readiness
from tests.stand import free_port, until

CONFIGURATION = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
frontend all
    bind 127.0.0.1:{port}
    default_backend default_backend
{no_route}
"""


def no_route_lines() -> str:
    """Ray's own answer where no route matches, out of its template."""
    lines = haproxy_templates.HAPROXY_CONFIG_TEMPLATE.splitlines()
    at = lines.index("backend default_backend")
    return "\n".join(lines[at : at + 2])


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    configuration = tmp_path / "c"
    configuration.write_text(CONFIGURATION.format(port=port, no_route=no_route_lines()))
    program = haproxy_program.make(tmp_path)
    process = subprocess.Popen([program, "-db", "-f", str(configuration)], stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: not readiness.probe(url)[1].startswith("no answer"), "HAProxy answers")
        yield url
    finally:
        process.kill()
        process.communicate()


def test_rays_configuration_still_has_the_line_that_is_changed() -> None:
    assert "status 404" in no_route_lines()


def test_without_a_route_clients_are_told_to_come_back_and_keep_their_events(url: str) -> None:
    answer = httpx.post(f"{url}/v1/batch", content=b"{}", trust_env=False)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unavailable"


def test_a_start_that_waits_says_what_it_waits_for(url: str) -> None:
    assert readiness.probe(url) == (False, "HTTP server is up, the gateway has no route yet")


def test_the_program_becomes_haproxy_itself_so_that_signals_reach_it(tmp_path: Path) -> None:
    program = haproxy_program.make(tmp_path)
    done = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("HAProxy version")

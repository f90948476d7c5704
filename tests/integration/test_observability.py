"""A running installation, looked at from outside: by Prometheus, in its logs, in Ray's list of actors."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.launch import installation
from tests.support.stand import Stand, Tenant, free_port, running, until
from tests.unit.serve_apps.gateway.exposed import DOCUMENT, documented, exposed

pytestmark = pytest.mark.cluster

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADERS = {"x-request-id": "order-7", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}
ADDRESS = "ann.lee@mail.example"


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running(tmp_path_factory.mktemp("watched"), settings={"LOGS_DEBUG": "true"}) as stand:
        yield stand


@pytest.fixture(scope="module")
def acme(watched: Stand) -> Iterator[Tenant]:
    """A tenant that has sent: a batch, a repeat, something refused, an address as a user's id, a hostile path."""
    with closing(watched.tenant("acme")) as made:
        batch = {
            "batch": [{"type": "track", "event": "Looked", "userId": f"u{i}", "messageId": f"m{i}"} for i in range(40)]
        }
        for _ in range(2):
            answer = made.http.post("/v1/batch", json=batch, headers=HEADERS)
            assert answer.status_code == 200
            assert answer.headers.get_list("x-request-id") == ["order-7"]
        assert made.http.post("/v1/track", json={"event": "of nobody"}).status_code == 400
        made.http.post("/v1/identify", json={"userId": ADDRESS, "traits": {"email": ADDRESS}}).raise_for_status()
        made.api.get(f"/v1/users/{ADDRESS}").raise_for_status()
        assert made.api.get(f"/v1/segments/{ADDRESS}").status_code == 404
        httpx.post(f"{watched.url}/v1/track", json={}, headers={"authorization": f"Bearer {made.secret_key}"})
        yield made


def scraped(stand: Stand) -> str:
    answer = httpx.get(f"{stand.url}/metrics", timeout=30)
    answer.raise_for_status()
    return answer.text


def test_what_runs_exposes_what_the_page_says(watched: Stand, acme: Tenant) -> None:
    found, told = exposed(scraped(watched)), documented()
    assert set(found) == set(told)
    without_samples = set()
    for name, metric in found.items():
        assert (metric.kind, metric.text) == (told[name].kind, told[name].text), name
        if metric.labels or not told[name].labels:
            assert set(metric.labels) == set(told[name].labels), name
        else:
            without_samples.add(name)
    # What has not happened: nobody was erased, no time was odd, nothing was rewarded or asked of a job, no snapshot or
    # sweep is due yet, no trait was too much, no provider has called or been called, no model asked.
    assert {n for n in without_samples if "snapshot" not in n} <= {
        "whisperer_events_dropped_total", "whisperer_events_noticed_total", "whisperer_learner_rewards_total",
        "whisperer_score_model_shards", "whisperer_shard_erasure_age_seconds", "whisperer_shard_oldest_bytes_age_seconds",
        "whisperer_traits_refused_total", "whisperer_gateway_jobs_total", "whisperer_gateway_deprecated_calls_total",
        "whisperer_callbacks_total", "whisperer_provider_attempts_total", "whisperer_provider_held_total",
        "whisperer_provider_breakers_open", "whisperer_provider_searches_total", "whisperer_generation_total", "whisperer_generation_tokens_total",
    }  # fmt: skip


@pytest.fixture(scope="module")
def prometheus(watched: Stand, acme: Tenant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A real one that scrapes the installation, configured as docs/operations.md says."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed on this machine")
    folder, port = tmp_path_factory.mktemp("prometheus"), free_port()
    config = folder / "prometheus.yml"
    page = (DOCUMENT.parent / "operations.md").read_text()
    [example] = re.findall(r"```yaml\n(scrape_configs:.*?)```", page, re.DOTALL)
    token = folder / "operator_token"
    token.write_text(json.loads((watched.data_dir / "installation.json").read_bytes())["operator_token"])
    example = example.replace("127.0.0.1:8000", f"127.0.0.1:{watched.port}").replace("/etc/prometheus/", f"{folder}/")
    config.write_text("global:\n  scrape_interval: 1s\n" + example)
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                until(lambda: _query(client, "up == 1"), f"a first scrape; see {folder}/log", 60)
                yield client
        finally:
            process.terminate()
            process.wait(30)


def _query(client: httpx.Client, query: str) -> list[dict[str, Any]]:
    try:
        answer = client.get("/api/v1/query", params={"query": query})
    except httpx.TransportError:  # it is starting
        return []
    if answer.status_code == 503:  # so it is
        return []
    document = answer.json()
    assert document["status"] == "success", (query, document)
    found: list[dict[str, Any]] = document["data"]["result"]
    return found


def test_prometheus_answers_what_was_sent(prometheus: httpx.Client) -> None:
    for query, value in (
        ('up{job="whisperer"}', 1),
        ('whisperer_events_accepted_total{tenant="acme"}', 41),
        ('whisperer_events_duplicate_total{tenant="acme"}', 40),
        ('sum(whisperer_events_rejected_total{tenant="acme",code="missing_identity"})', 1),
        ('sum(whisperer_events_rejected_total{tenant="",code="invalid_key"})', 1),
        ('sum(whisperer_gateway_requests_total{route="/v1/batch",method="POST",status="200"})', 2),
        ('sum(whisperer_gateway_request_seconds_count{route="/v1/users/{user_id}"})', 1),
        ("sum(whisperer_shard_serving)", 2),
        ('sum(whisperer_users{tenant="acme"})', 41),
    ):
        [found] = until(lambda query=query: _query(prometheus, query), query, 60)
        assert float(found["value"][1]) == value, query
    for query in (
        "whisperer_shard_sync_seconds_count > 0",
        'histogram_quantile(0.99, sum by (le) (whisperer_gateway_shard_call_seconds_bucket{method="ingest"})) > 0',
        "sum(whisperer_gateway_call_events_sum) >= 81",
        "whisperer_shard_rss_bytes > 1e6",
        'sum by (shard) (whisperer_shard_step_seconds_total{step="encode"}) > 0',
    ):
        assert until(lambda query=query: _query(prometheus, query), query, 60)


def test_every_question_of_page_and_dashboard_can_be_asked(prometheus: httpx.Client) -> None:
    page = DOCUMENT.read_text().partition("## Questions")[2]
    questions = re.findall(r"^\| [^|]+ \| `([^`]+)` \|$", page, re.MULTILINE)
    dashboard = json.loads((DOCUMENT.parent / "dashboards" / "ingestion.json").read_text())
    questions += [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(questions) > 40
    for question in questions:
        _query(prometheus, question.replace("$__rate_interval", "1m").replace("$shard", ".*"))


def test_promtool_has_no_complaint(watched: Stand, acme: Tenant) -> None:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed on this machine")
    done = subprocess.run([program, "check", "metrics"], input=scraped(watched), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# -- logs -----------------------------------------------------------------------------------------------------------------

PROCESSES = ("gateway", "shard-0", "shard-1", "directory", "learner", "decisions", "content", "delivery")


def lines(stand: Stand, process: str) -> list[dict[str, Any]]:
    path = stand.data_dir / "logs" / f"{process}.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_gateway_and_shards_tell_of_a_request_under_the_same_ids(watched: Stand, acme: Tenant) -> None:
    def of(process: str) -> list[dict[str, Any]]:
        return [line for line in lines(watched, process) if line.get("request_id") == "order-7"]

    gateway = until(lambda: of("gateway"), "the gateway's line")
    shards = until(lambda: of("shard-0") and of("shard-0") + of("shard-1"), "the shards' lines")
    assert any("POST /v1/batch: 200" in line["message"] for line in gateway)
    assert any("ingest done" in line["message"] for line in shards)
    assert {line["trace_id"] for line in gateway + shards} == {TRACE_ID}


def test_each_line_of_ours_is_one_object_with_time_level_and_process(watched: Stand, acme: Tenant) -> None:
    for process in ("gateway", "shard-0", "shard-1"):
        found = lines(watched, process)
        assert found, process
        for line in found:
            assert {"time", "level", "logger", "message", "process", "pid"} <= set(line)
            assert line["process"] == process
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])


def test_no_log_has_a_key_a_token_or_an_address(watched: Stand, acme: Tenant) -> None:
    record = installation.load(watched.data_dir)
    hidden = [acme.write_key, acme.secret_key, record.operator_token, record.link_secret, ADDRESS, "ann.lee%40"]
    session = Path(record.temp_dir) / "r" / "session_latest" / "logs"
    files = [path for folder in (record.logs, session) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 10
    for path in files:
        text = path.read_text(errors="replace")
        assert [secret for secret in hidden if secret in text] == [], path


# -- Ray's dashboard --------------------------------------------------------------------------------------------------------


def test_actors_have_names_that_can_be_read(watched: Stand) -> None:
    record = installation.load(watched.data_dir)
    look = (
        "import json, sys; from ray.util.state import list_actors; "
        "print(json.dumps([[a.name, a.class_name, a.repr_name, a.pid] "
        "for a in list_actors(address=sys.argv[1], detail=True, filters=[('state', '=', 'ALIVE')])]))"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | record.client_environment()
    done = subprocess.run(
        [sys.executable, "-c", look, record.dashboard_url], env=environment, capture_output=True, text=True, check=True
    )
    found = {name: (cls, shown, pid) for name, cls, shown, pid in json.loads(done.stdout.splitlines()[-1])}
    pids = {shard["name"]: shard["pid"] for shard in watched.status()["shards"]}
    for number in range(2):
        name = f"shard-{number}"
        assert found[name] == ("ShardActor", f"ShardActor {name}", pids[name])
    assert found["directory"][1] == "Directory"
    assert found["learner"][1] == "Learner"
    for application in ("gateway", "decisions", "content", "delivery"):
        assert any(name.startswith(f"SERVE_REPLICA::{application}#") for name in found), application

"""The OpenAPI document held against a running gateway, over each database, by schemathesis: every check, few examples,
one seed.

By hand, with more: `schemathesis --config-file tests/integration/schemathesis.toml run <url>/openapi.json
-H 'Authorization: Bearer sk_...' --max-examples 100`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stand import Stand, running

CONFIG = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def stand(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    options: list[str] = []
    if request.param == "postgresql":
        options = ["--database", request.getfixturevalue("postgres").database()]
    with running(tmp_path_factory.mktemp("contract") / "var", options=options) as made:
        yield made


@pytest.mark.timeout(900)
def test_the_gateway_does_what_its_document_says(stand: Stand, tmp_path: Path) -> None:
    secret = stand.tenant("acme").secret_key
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    done = subprocess.run(
        [
            *command, "--config-file", str(CONFIG), "run", f"{stand.url}/openapi.json",
            "-H", f"Authorization: Bearer {secret}", "--max-examples", "1", "--seed", "1",
            "--phases", "examples,coverage,fuzzing", "--request-timeout", "60", "--generation-database", "none",
        ],
        capture_output=True, text=True, cwd=tmp_path, timeout=800, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]

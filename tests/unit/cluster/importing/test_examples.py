"""The snippets of "send your first event" run against a real server and arrive as Segment calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.cluster.importing.recording_gateway import RecordingGateway

EXAMPLES = Path(__file__).parents[4] / "examples"


@pytest.mark.parametrize(
    ("program", "name"), [(sys.executable, "send_events.py"), ("node", "send_events.mjs"), ("sh", "send_events.sh")]
)
def test_the_snippet_sends_an_identify_and_a_track(gateway: RecordingGateway, program: str, name: str) -> None:
    for needed in (program, "curl") if program == "sh" else (program,):
        if shutil.which(needed) is None:
            pytest.skip(f"{needed} is not installed here")
    environment = {**os.environ, "URL": gateway.url, "WRITE_KEY": "wk_test"}
    done = subprocess.run([program, EXAMPLES / name], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"success": True}
    assert gateway.paths == ["/v1/identify", "/v1/track"]
    identify, track = gateway.events
    assert identify["traits"] == {"email": "ada@example.com", "plan": "team"}
    assert (track["userId"], track["event"], track["properties"]["pages"]) == ("ada", "Report Exported", 12)


def test_a_refused_key_makes_the_snippets_fail(gateway: RecordingGateway) -> None:
    environment = {**os.environ, "URL": gateway.url, "WRITE_KEY": "wk_wrong"}
    line = [sys.executable, EXAMPLES / "send_events.py"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "401" in done.stderr

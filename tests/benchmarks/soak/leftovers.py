"""What is there in the end and should not be: half-written files, folders of the dead, warnings nobody can explain."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from tests.support.stand import Stand

ODD_NAMES = re.compile(r"\.(partial|tmp|part|new|lock~)$|^\.|~$")
OWN = {".lock", ".installation.lock"}

EXPLAINED = (
    # (what a log line says, which injected fault explains it)
    (
        r"ActorDiedError|ActorUnavailableError|actor is (temporarily )?unavailable|The actor died",
        "a process was killed",
    ),
    (
        r"socket (was|is) closed|Connection(Reset|Refused|Error)|Broken pipe|lost (its )?connection|ServerDisconnected",
        "a process was killed",
    ),
    (
        r"could not be (asked|reached|delivered|notified)|is away|again|trying|not answer|no answer",
        "a process was killed or a partition moved",
    ),
    (r"has lost parts of partition", "a shard was killed during a move"),
    (r"recover|epoch|fence|took over|takes? the lock", "a shard was killed"),
    (r"health check|replica.*(died|dead|stopped|unhealthy)|Replica.*failed|DeploymentReplica", "a replica was killed"),
    (r"deprecat", "Ray's own"),
    (
        r"a slow group: \d+ records stored in [1-9]\d*\.\d+ s and applied in 0\.",
        "the disk took over a second for a sync",
    ),
)


def files(data_dir: Path) -> list[str]:
    """Half-written and forgotten files of an installation at rest."""
    return [
        str(path.relative_to(data_dir))
        for path in data_dir.rglob("*")
        if path.is_file() and ODD_NAMES.search(path.name) and path.name not in OWN
    ][:50]


def warnings(stand: Stand) -> dict[str, Any]:
    """Warnings and errors of our own processes: how many an injected fault explains, and each kind that none does."""
    explained: Counter[str] = Counter()
    unexplained: Counter[str] = Counter()
    examples: dict[str, str] = {}
    for path in (stand.data_dir / "logs").glob("*.log*"):
        for line in path.read_text("utf-8", "replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry.get("level", "").upper() not in ("WARNING", "ERROR", "CRITICAL"):
                continue
            said = str(entry.get("message", ""))
            why = next((why for pattern, why in EXPLAINED if re.search(pattern, said, re.IGNORECASE)), None)
            if why is None:
                kind = re.sub(r"\d+|dec_\w+|tn_\w+", "#", said)[:160]
                unexplained[kind] += 1
                examples[kind] = max(examples.get(kind, ""), said[:300])
            else:
                explained[why] += 1
    return {"explained": dict(explained), "unexplained": dict(unexplained.most_common(30)), "examples": examples}

"""Look for keys and passwords in what git would commit, by detect-secrets, and fail on any that nobody has judged.

`.secrets.baseline` holds a hash of each string that was looked at and is no secret, and the settings of the detectors;
``accepted.toml`` says why, by file. A string counts by its file, kind and hash, so lines may move. What is found is never
printed nor sent anywhere: detect-secrets' own check, which tries a key out at its provider, is left out of the settings.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from detect_secrets import SecretsCollection
from detect_secrets.core import baseline
from detect_secrets.settings import get_settings

from tests.audit import ACCEPTED, ROOT, accepted

BASELINE = ROOT / ".secrets.baseline"


class String(NamedTuple):
    """What a detector took for a secret; the string itself is nowhere."""

    path: str
    kind: str
    hash: str


Lines = dict[String, int]
"""The line that each was found on; 0 in the baseline, as lines move."""

_N_PROCESSES = 2
_COMMAND = "python -m tests.audit secrets"


def audit(files: list[Path]) -> int:
    """Print what is found and not judged yet, and return 1 if there is any. Without files, all of them are looked at."""
    judged = read_baseline()
    found = find(files or committed())
    strangers = found.keys() - judged.keys()
    for path, line, kind in sorted((string.path, found[string], string.kind) for string in strangers):
        print(f"{path}:{line}: {kind}", file=sys.stderr)
    if strangers:
        print(
            "secrets: a key or a password does not belong in the repository. Remove it, and make a new one if it has "
            f"been committed. If it is none: `{_COMMAND} --update`, and the reason in {ACCEPTED.relative_to(ROOT)}.",
            file=sys.stderr,
        )
    troubles = [] if files else [*_gone(judged, found), *_without_reasons(judged)]
    for trouble in troubles:
        print(f"secrets: {trouble}", file=sys.stderr)
    print(f"secrets: {len(strangers) or 'none'} found; {len(judged)} strings have been looked at and are none.")
    return int(bool(strangers or troubles))


def update() -> int:
    """Take everything that is found into the baseline, and return 1 if a file has no reason yet."""
    read_baseline()
    found = _scan(committed())
    written = json.dumps(baseline.format_for_output(found, is_slim_mode=True), indent=2) + "\n"
    BASELINE.write_text(written.replace(f"{ROOT}/", ""))  # where the tree lies is nobody's business
    for trouble in (troubles := _without_reasons(_lines(found))):
        print(f"secrets: {trouble}", file=sys.stderr)
    return int(bool(troubles))


def read_baseline() -> Lines:
    """Return what has been judged, and set the detectors as the baseline says, for this process."""
    get_settings.cache_clear()
    return _lines(baseline.load(baseline.load_from_file(str(BASELINE))))


def find(files: list[Path]) -> Lines:
    """Return what the detectors find in files."""
    return _lines(_scan(files))


def committed() -> list[Path]:
    """Return the files that git has, or would take with `git add --all`."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in sorted(set(listed.stdout.split("\0")) - {""}) if (path := ROOT / name).is_file()]


def _scan(files: list[Path]) -> SecretsCollection:
    found = SecretsCollection(root=str(ROOT))
    names = [
        str(f.resolve().relative_to(ROOT)) if f.resolve().is_relative_to(ROOT) else str(f.resolve()) for f in files
    ]
    found.scan_files(*(name for name in names if name != BASELINE.name), num_processors=_N_PROCESSES)
    return found


def _lines(secrets: SecretsCollection) -> Lines:
    return {String(path, secret.type, secret.secret_hash): secret.line_number for path, secret in secrets}


def _gone(judged: Lines, found: Lines) -> list[str]:
    return [
        f"{path} no longer has a string that {BASELINE.name} has: `{_COMMAND} --update`"
        for path in sorted({string.path for string in judged.keys() - found.keys()})
    ]


def _without_reasons(judged: Lines) -> list[str]:
    paths, reasons = {string.path for string in judged}, accepted("secrets").keys()
    return [
        *(f"{path} needs a reason in {ACCEPTED.relative_to(ROOT)}" for path in sorted(paths - reasons)),
        *(f"{path} has a reason in {ACCEPTED.name} and no string" for path in sorted(reasons - paths)),
    ]

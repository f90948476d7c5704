"""A password on the command line, as other users of the machine see it."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from cluster.cli.hidden_arguments import hide_argument
hide_argument(sys.argv[1], sys.argv[2])
print(open("/proc/self/cmdline").read().replace("\\0", "|"), end="")
"""


def shown(secret: str, instead: str, *others: str) -> list[str]:
    command = [sys.executable, "-c", SCRIPT, secret, instead, *others]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split("|")[-1 - len(others) : -1]


def test_an_argument_is_overwritten_wherever_it_is_and_nothing_else_is() -> None:
    secret, instead = "postgresql://ada:hunter2x@h/d", "postgresql://ada:***@h/d"
    assert shown(secret, instead, "--database", secret, f"--database={secret}", "--shards", "2") == [
        "--database", instead.ljust(len(secret)), f"--database={instead.ljust(len(secret))}", "--shards", "2",
    ]  # fmt: skip


def test_a_longer_text_never_writes_over_the_next_argument() -> None:
    assert shown("p://a:p@h", "p://a:***@h", "p://a:p@h", "next") == ["p://a:***", "next"]


def test_letters_that_are_no_ascii_are_hidden_as_well() -> None:
    assert "ü" not in "".join(shown("p://a:ü-secret@h", "p://a:***@h", "--database=p://a:ü-secret@h"))

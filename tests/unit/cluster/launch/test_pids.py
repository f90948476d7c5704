from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.launch import pids
from cluster.launch.pids import INSTALLATION_ENV, Pid, identify

ID = "0123456789abcdef"
SAY_AND_WAIT = "import signal, sys; print('up', flush=True); signal.pause()"
IGNORE_TERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


class Children:
    """Real processes that are up when `start` returns and are gone after the test."""

    def __init__(self) -> None:
        self.started: list[subprocess.Popen[str]] = []

    def start(self, code: str, *args: str, program: str = sys.executable, **env: str) -> Pid:
        child = subprocess.Popen(
            [program, "-c", code, *args], env={**os.environ, **env}, stdout=subprocess.PIPE, text=True
        )
        self.started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        found = identify(child.pid)
        assert found is not None
        return found


@pytest.fixture
def children() -> Iterator[Children]:
    made = Children()
    yield made
    for child in made.started:
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def test_a_process_is_known_by_number_and_start_time(children: Children) -> None:
    child = children.start(SAY_AND_WAIT)
    assert child.alive()
    assert not Pid(child.pid, child.started + "1").alive()


def test_a_process_that_ended_is_not_alive_even_before_it_is_reaped(children: Children) -> None:
    child = children.start(SAY_AND_WAIT)
    os.kill(child.pid, signal.SIGKILL)
    assert pids.wait_gone([child], 10) == set()
    assert children.started[0].returncode is None


def test_it_finds_processes_by_the_id_in_their_environment_and_no_others(children: Children, tmp_path: Path) -> None:
    ours = children.start(SAY_AND_WAIT, **{INSTALLATION_ENV: ID})
    children.start(SAY_AND_WAIT, **{INSTALLATION_ENV: ID + "0"})
    children.start(SAY_AND_WAIT)
    assert pids.find(ID, tmp_path) == {ours}


def test_it_finds_our_interpreter_by_a_path_inside_the_temporary_folder(children: Children, tmp_path: Path) -> None:
    ours = children.start(SAY_AND_WAIT, f"--temp-dir={tmp_path / 'uw-1'}/r")
    children.start(SAY_AND_WAIT, f"--temp-dir={tmp_path / 'uw-10'}/r")
    assert pids.find(ID, tmp_path / "uw-1") == {ours}


def test_it_finds_a_worker_by_a_log_it_holds_open_where_its_command_line_says_nothing(
    children: Children, tmp_path: Path
) -> None:
    ours = children.start("import os; log = open(os.environ['LOG'], 'w'); " + SAY_AND_WAIT, LOG=str(tmp_path / "log"))
    assert str(tmp_path) not in Path(f"/proc/{ours.pid}/cmdline").read_text()
    assert pids.find(ID, tmp_path) == {ours}


def test_a_stranger_that_looks_into_the_folder_is_left_alone(children: Children, tmp_path: Path) -> None:
    (tmp_path / "x.log").touch()
    children.start("exec 3<$0; echo up; exec sleep 60", str(tmp_path / "x.log"), program="/bin/sh")
    assert pids.find(ID, tmp_path) == set()


def test_an_installation_without_a_temporary_folder_matches_no_path(children: Children) -> None:
    children.start(SAY_AND_WAIT, "./here/x")
    assert pids.find(ID, Path("")) == set()


def test_recorded_processes_are_ours_only_while_the_number_is_still_theirs(children: Children, tmp_path: Path) -> None:
    child = children.start(SAY_AND_WAIT)
    assert pids.find(ID, tmp_path, [child, Pid(child.pid, "another boot:1")]) == {child}


def test_this_process_and_its_ancestors_are_never_found(tmp_path: Path) -> None:
    own, parent = identify(os.getpid()), identify(os.getppid())
    assert own is not None
    assert parent is not None
    assert pids.find(ID, tmp_path, [own, parent]) == set()


def test_ending_asks_first_and_kills_what_does_not_listen(children: Children) -> None:
    polite, stubborn = children.start(SAY_AND_WAIT), children.start(IGNORE_TERM)
    assert pids.end([polite, stubborn], grace_s=0.3) == {stubborn}
    assert not polite.alive()
    assert not stubborn.alive()
    assert [child.wait() for child in children.started] == [-signal.SIGTERM, -signal.SIGKILL]


def test_a_number_that_was_given_to_another_process_is_not_signalled(children: Children) -> None:
    child = children.start(SAY_AND_WAIT)
    pids.end([Pid(child.pid, "another boot:1")], grace_s=0.1)
    assert pids.wait_gone([child], 0.3) == {child}


def test_programs_are_found_by_name(children: Children) -> None:
    child = children.start(SAY_AND_WAIT)
    name = Path(f"/proc/{child.pid}/comm").read_text().strip()
    assert pids.named([child], [name]) == [child]
    assert pids.named([child], ["raylet"]) == []

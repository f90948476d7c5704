from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.errors import InstallationError, NotInstalledError
from cluster.launch import installation, pids, ray_head
from cluster.launch.installation import Installation


def test_the_record_is_read_back_as_it_was_written(configured: Installation) -> None:
    assert installation.load(Path(configured.data_dir)) == configured


def test_the_record_and_the_tokens_are_for_their_owner_only(configured: Installation) -> None:
    folder = Path(configured.data_dir)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("installation.json", "ray_token"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert len(configured.operator_token) >= 43


def test_ids_and_tokens_stay_when_it_is_opened_again(configured: Installation) -> None:
    again = installation.load_or_create(Path(configured.data_dir))
    assert (again.id, again.operator_token) == (configured.id, configured.operator_token)


def test_no_two_installations_share_an_id_or_a_token(tmp_path: Path) -> None:
    a, b = (installation.load_or_create(tmp_path / name) for name in "ab")
    assert a.id != b.id
    assert a.operator_token != b.operator_token
    assert Path(a.ray_token_path).read_text() != Path(b.ray_token_path).read_text()


def test_a_moved_data_folder_is_known_by_its_new_place(configured: Installation, tmp_path: Path) -> None:
    moved = Path(configured.data_dir).rename(tmp_path / "moved")
    found = installation.load_or_create(moved)
    assert found.id == configured.id
    assert found.ray_token_path == str(moved / "ray_token")


def test_a_copied_data_folder_is_another_installation_and_owns_no_process(
    configured: Installation, tmp_path: Path
) -> None:
    own = pids.identify(os.getpid())
    assert own is not None
    configured.head, configured.pids = [own, own], [own]
    configured.save()
    shutil.copytree(configured.data_dir, tmp_path / "copy")
    copy = installation.load(tmp_path / "copy")
    assert configured.running
    assert not copy.running
    assert (copy.pids, copy.temp_dir, copy.data_dir) == ([], "", str(tmp_path / "copy"))
    assert copy.id != configured.id
    assert copy.operator_token != configured.operator_token


def test_a_folder_without_an_installation_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(NotInstalledError, match="whisperer up --data-dir"):
        installation.load(tmp_path)


def test_the_record_of_an_earlier_release_is_read_with_the_defaults_of_what_it_did_not_know(
    configured: Installation,
) -> None:
    path = Path(configured.data_dir) / "installation.json"
    record = json.loads(path.read_bytes())
    del record["settings"]["logs"], record["settings"]["journal"]["wait_replicas"]
    record["settings"]["limits"]["body_timeout_s"] = 77.0
    path.write_text(json.dumps(record))
    _, settings = installation.load(Path(configured.data_dir)).configured()
    assert (settings.logs.json, settings.journal.wait_replicas, settings.limits.body_timeout_s) == (True, 0, 77.0)


def test_a_damaged_record_says_what_to_do(configured: Installation) -> None:
    configured.path.write_text("{")
    with pytest.raises(InstallationError, match="Move it away"):
        installation.load(Path(configured.data_dir))


def test_a_data_folder_that_is_a_file_is_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "var").touch()
    with pytest.raises(InstallationError, match="--data-dir"):
        installation.load_or_create(tmp_path / "var")


def test_only_one_command_at_a_time_holds_the_lock(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from cluster.errors import InstallationError; from cluster.launch.installation import locked\n"
        "try:\n    with locked(Path(sys.argv[1])): print('held')\n"
        "except InstallationError as error: print(error)\n"
    )

    def another() -> str:
        return subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True).stdout

    with installation.locked(tmp_path):
        assert "wait for it to finish" in another()
    assert another() == "held\n"


def test_every_port_is_given_to_ray_and_to_serve(configured: Installation) -> None:
    ports, _ = configured.configured()
    environment = ray_head.environment(configured, {})
    words = " ".join([*ray_head.start_command(configured), *(f"{k}={v}" for k, v in environment.items())])
    # Serve opens no gRPC port while no application speaks it; its number goes into the Serve configuration.
    # That of plain HTTP on this machine goes into HAProxy's configuration, where TLS is served.
    for name, port in ports.singles().items():
        assert (f"={port}" in words) == (name not in ("serve_grpc", "http_local")), name


def test_ray_settings_of_the_callers_environment_do_not_leak_in(configured: Installation) -> None:
    environment = ray_head.environment(configured, {"RAY_ADDRESS": "elsewhere:6379", "RAY_TMPDIR": "/x", "HOME": "/h"})
    assert environment["RAY_ADDRESS"] == configured.ray_address
    assert "RAY_TMPDIR" not in environment
    assert environment["HOME"] == "/h"


def test_tokens_travel_as_a_path_not_as_text(configured: Installation) -> None:
    token = Path(configured.ray_token_path).read_text()
    environment = ray_head.environment(configured, {})
    assert environment["RAY_AUTH_MODE"] == "token"
    assert all(token not in value and configured.operator_token not in value for value in environment.values())


def test_drivers_do_not_get_throughput_mode(configured: Installation) -> None:
    assert "RAY_SERVE_THROUGHPUT_OPTIMIZED" not in ray_head.driver_environment(configured)


def test_socket_paths_fit_however_long_the_systems_temporary_folder_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/" + "x" * 80)
    assert str(installation.temp_root()) == "/tmp"
    deepest_ray = "r/session_2026-11-23_04-23-31_664893_4194304/sockets/plasma_store.4194304"
    deepest_haproxy = f"h/{'0' * 56}/a.4194304.tmp"
    for deepest in (deepest_ray, deepest_haproxy):
        assert len(f"{'x' * installation._LONGEST_TEMP_ROOT}/uw-85/{deepest}") <= 107

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster.errors import NoFreePortsError
from cluster.launch import ports
from cluster.launch.ports import BLOCK_PORTS, FIRST_PORT, N_BLOCKS, claim, ports_of_block


def installed(folder: Path, name: str, temp_dir: Path | None = None) -> Path:
    data_dir = folder / name
    data_dir.mkdir(exist_ok=True)
    if temp_dir is not None:
        (data_dir / "installation.json").write_text(f'{{"temp_dir": "{temp_dir}"}}')
    return data_dir


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "tmp"
    made.mkdir()
    return made


def all_ports(block: int) -> list[int]:
    made = ports_of_block(block, 8000)
    ranges = (made.ingress_http, made.ingress_grpc, made.workers)
    return [*made.singles().values(), *(p for first, last in ranges for p in range(first, last + 1))]


def test_no_port_of_a_block_is_given_twice_nor_lies_outside_it() -> None:
    given = all_ports(3)
    assert len(set(given)) == len(given)
    base = FIRST_PORT + 3 * BLOCK_PORTS
    assert min(given) >= base
    assert max(given) < base + BLOCK_PORTS


def test_every_block_lies_below_the_ports_of_outgoing_connections() -> None:
    assert max(all_ports(N_BLOCKS - 1)) < 32_768


def test_an_installation_keeps_its_block(root: Path, tmp_path: Path) -> None:
    data_dir = installed(tmp_path, "a")
    first = claim(data_dir, 8000, root)
    assert claim(data_dir, 8000, root) == first
    assert claim(data_dir, 8000, root, preferred=first[1]) == first


def test_two_installations_get_different_blocks_also_at_the_same_moment(root: Path, tmp_path: Path) -> None:
    data_dirs = [installed(tmp_path, f"i{i}") for i in range(12)]
    with ThreadPoolExecutor(12) as pool:
        folders = list(pool.map(lambda d: claim(d, 8000, root)[1], data_dirs))
    assert len(set(folders)) == 12


def test_a_block_in_which_something_listens_is_passed_by(root: Path, tmp_path: Path) -> None:
    data_dir = installed(tmp_path, "a")
    first, folder = claim(data_dir, 8000, root)
    with socket.create_server(("127.0.0.1", first.dashboard)):
        second, other = claim(data_dir, 8000, root, preferred=folder)
    assert folder != other
    assert second.gcs != first.gcs


def test_the_claim_of_an_installation_that_was_deleted_is_taken_over(root: Path, tmp_path: Path) -> None:
    gone = installed(tmp_path, "gone")
    _, folder = claim(gone, 8000, root)
    (folder / "r").mkdir()
    gone.rmdir()
    _, taken = claim(installed(tmp_path, "new"), 8000, root, preferred=folder)
    assert taken == folder
    assert not (folder / "r").exists()
    assert sorted(root.iterdir()) == [folder]


def test_the_claim_of_an_installation_that_is_down_is_not_taken(root: Path, tmp_path: Path) -> None:
    data_dir = installed(tmp_path, "a")
    _, folder = claim(data_dir, 8000, root)
    installed(tmp_path, "a", temp_dir=folder)
    assert claim(installed(tmp_path, "b"), 8000, root, preferred=folder)[1] != folder


def test_a_claim_being_made_by_another_process_is_not_taken(root: Path, tmp_path: Path) -> None:
    (root / "uw-5").mkdir()  # made, but not signed yet
    assert claim(installed(tmp_path, "b"), 8000, root, preferred=root / "uw-5")[1].name != "uw-5"


def test_a_folder_planted_as_a_link_is_not_used(root: Path, tmp_path: Path) -> None:
    data_dir = installed(tmp_path, "a")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / ports.CLAIM_FILE).write_text(str(data_dir.resolve()))
    (root / "uw-5").symlink_to(elsewhere)
    assert claim(data_dir, 8000, root, preferred=root / "uw-5")[1].name != "uw-5"


def test_the_folder_is_for_its_owner_only(root: Path, tmp_path: Path) -> None:
    _, folder = claim(installed(tmp_path, "a"), 8000, root)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_uid == os.getuid()


def test_no_free_block_is_an_error_that_says_what_to_do(root: Path, tmp_path: Path) -> None:
    for block in range(N_BLOCKS):
        (root / f"uw-{block}").mkdir()
    with pytest.raises(NoFreePortsError, match="whisperer down"):
        claim(installed(tmp_path, "a"), 8000, root)


def test_a_port_is_free_unless_something_listens_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not ports.is_free("127.0.0.1", port)
    assert ports.is_free("127.0.0.1", port)

"""`whisperer secrets`: the keys are shown, replaced and, where they are lost, done without."""

from __future__ import annotations

import base64

import pytest

from cluster.cli.control import open_control_plane
from cluster.control_plane.keyring import KEY_BYTES, key_id, parse_keys, write_key_file
from cluster.errors import InstallationError
from tests.unit.cluster.cli.test_cli import Cli, acme, cli

__all__ = ["acme", "cli"]

MAIL = {"host": "mail.example.com", "sender": "ada@example.com", "username": "ada", "password": "hunter2"}


@pytest.fixture
def mailing(acme: Cli) -> Cli:
    """With a channel that has a password."""
    with open_control_plane(acme.data_dir) as plane:
        plane.set_channel("acme", "email", "smtp", MAIL)
    return acme


def password(cli: Cli) -> object:
    with open_control_plane(cli.data_dir) as plane:
        return plane.list_channels("acme")["email"].config.get("password")


def keys(cli: Cli) -> list[bytes]:
    file = cli.data_dir / "control.key"
    return parse_keys(file.read_text(), str(file))


def test_the_keys_are_shown_with_what_they_seal_and_not_themselves(mailing: Cli) -> None:
    [key] = keys(mailing)
    shown = mailing.json("secrets", "status")
    assert shown["keys"] == [{"id": key_id(key), "seals": True, "present": True, "n_secrets": 1}]
    assert base64.b64encode(key).decode() not in str(shown)


def test_a_new_key_seals_everything_and_the_old_one_stays_until_it_is_forgotten(mailing: Cli) -> None:
    [old] = keys(mailing)
    said = mailing.json("secrets", "rotate")
    new, kept = keys(mailing)
    assert (said["key"], said["n_sealed"], kept) == (key_id(new), 1, old)
    mailing.json("secrets", "rotate", "--forget-old")
    assert len(keys(mailing)) == 1
    assert keys(mailing)[0] not in (old, new)
    assert password(mailing) == "hunter2"


def test_a_key_that_was_written_by_hand_seals_once_it_is_told_to(mailing: Cli) -> None:
    [old], new = keys(mailing), bytes([7]) * KEY_BYTES
    write_key_file(mailing.data_dir / "control.key", [new, old])
    assert mailing.json("secrets", "seal") == {"key": key_id(new), "n_sealed": 1}
    assert mailing.json("secrets", "seal") == {"key": key_id(new), "n_sealed": 0}
    write_key_file(mailing.data_dir / "control.key", [new])
    assert password(mailing) == "hunter2"


def test_what_a_lost_key_sealed_is_told_and_given_up_only_when_asked(mailing: Cli) -> None:
    [old] = keys(mailing)
    write_key_file(mailing.data_dir / "control.key", [bytes([7]) * KEY_BYTES])
    lost = next(key for key in mailing.json("secrets", "status")["keys"] if not key["present"])
    assert (lost["id"], lost["n_secrets"]) == (key_id(old), 1)
    with pytest.raises(InstallationError, match="whisperer secrets forget"):
        password(mailing)
    [forgotten] = mailing.json("secrets", "forget", "--yes")["forgotten"]
    assert forgotten.startswith("channels.config ")
    assert password(mailing) is None
    assert mailing.json("secrets", "forget", "--yes") == {"forgotten": []}

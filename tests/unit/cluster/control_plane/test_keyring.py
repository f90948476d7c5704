"""Sealing: what is sealed opens with its key and for its column only, and the file of keys is read as it changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.control_plane.keyring import (
    KEY_BYTES,
    Keyring,
    UnreadableSecretError,
    key_id,
    make_key_file,
    parse_keys,
    write_key_file,
)
from cluster.errors import InstallationError
from whisperer.errors import InvariantError

OLD, NEW = bytes([1]) * KEY_BYTES, bytes([2]) * KEY_BYTES


@given(st.text(), st.text(max_size=20))
def test_what_is_sealed_opens_and_shows_nothing(text: str, column: str) -> None:
    keyring = Keyring([OLD])
    sealed = keyring.seal(text, column)
    assert keyring.open(sealed, column) == text
    assert sealed != keyring.seal(text, column)  # equal secrets do not look equal
    assert len(text) < 8 or text not in sealed


@given(st.integers(min_value=0), st.integers(1, 255))
def test_whatever_is_changed_does_not_open(place: int, by: int) -> None:
    keyring = Keyring([OLD])
    sealed = keyring.seal("a password", "channels.config")
    start = sealed.rindex(":") + 1
    at = start + place % (len(sealed) - start)
    changed = sealed[:at] + chr((ord(sealed[at]) + by) % 256) + sealed[at + 1 :]
    try:
        opened = keyring.open(changed, "channels.config")
    except UnreadableSecretError:
        return
    raise AssertionError(f"it opened as {opened!r}")


def test_a_sealed_value_opens_in_its_own_column_only() -> None:
    keyring = Keyring([OLD])
    with pytest.raises(UnreadableSecretError, match="was changed"):
        keyring.open(keyring.seal("geheim", "people.totp_secret"), "issuers.client_secret")


def test_what_was_stored_before_there_were_keys_is_read_as_it_is() -> None:
    assert Keyring([OLD]).open("JBSWY3DPEHPK3PXP", "people.totp_secret") == "JBSWY3DPEHPK3PXP"


def test_the_first_key_seals_and_all_of_them_open() -> None:
    sealed = Keyring([OLD]).seal("geheim", "c")
    both = Keyring([NEW, OLD])
    assert both.open(sealed, "c") == "geheim"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal("geheim", "c"))
    with pytest.raises(UnreadableSecretError, match=key_id(OLD)):
        Keyring([NEW]).open(sealed, "c")


def test_without_a_key_nothing_is_kept() -> None:
    with pytest.raises(InvariantError):
        Keyring(()).seal("geheim", "c")


def test_a_keyring_shows_no_key() -> None:
    assert repr(Keyring([OLD])) == f"Keyring({key_id(OLD)})"
    assert OLD.hex()[:8] not in key_id(OLD)


def test_a_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "control.key"
    make_key_file(file)
    made = file.read_bytes()
    make_key_file(file)
    assert file.read_bytes() == made
    assert file.stat().st_mode & 0o777 == 0o600
    assert len(Keyring.of_file(file).ids) == 1


def test_a_file_that_changes_is_read_again_to_seal_and_to_open(tmp_path: Path) -> None:
    file = tmp_path / "control.key"
    write_key_file(file, [OLD])
    here, elsewhere = Keyring.of_file(file), Keyring.of_file(file)
    write_key_file(file, [NEW, OLD])
    sealed = here.seal("geheim", "c")
    assert here.ids == [key_id(NEW), key_id(OLD)]
    assert here.sealer(sealed) == key_id(NEW)
    assert elsewhere.open(sealed, "c") == "geheim"


def test_while_the_file_is_away_what_is_known_stays(tmp_path: Path) -> None:
    file = tmp_path / "control.key"
    write_key_file(file, [OLD])
    keyring = Keyring.of_file(file)
    file.unlink()
    assert keyring.open(keyring.seal("geheim", "c"), "c") == "geheim"
    for unusable, mode in ((b"not yet a key", 0o600), (bytes(44), 0o600), (b"", 0o644)):
        file.write_bytes(unusable)
        file.chmod(mode)
        assert keyring.open(keyring.seal("geheim", "c"), "c") == "geheim"
    with pytest.raises(InstallationError):
        Keyring.of_file(file)


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "A" * 43 + "= " + "AAAA"])
def test_what_is_no_key_is_refused_without_being_repeated(text: str) -> None:
    with pytest.raises(InstallationError) as refused:
        parse_keys(text, "the file")
    assert "the file" in str(refused.value)
    assert not text or text.split()[-1] not in str(refused.value)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "control.key"
    write_key_file(file, [OLD])
    os.chmod(file, 0o640)
    with pytest.raises(InstallationError, match="chmod 600"):
        Keyring.of_file(file)


def test_a_file_that_is_not_there_says_what_is_lost(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="backup"):
        Keyring.of_file(tmp_path / "control.key")

"""Which files can be a server's certificate: what is wrong with the others is said, and where."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cluster.errors import InstallationError, SettingsError
from cluster.launch import tls
from cluster.settings import load
from tests.support.certificates import HOUR, pair
from whisperer.settings import ServerSettings


def server(certificate: Path, key: Path) -> ServerSettings:
    return ServerSettings(tls_certificate=str(certificate), tls_key=str(key))


def test_certificate_and_key_become_one_document_that_openssl_loads(tmp_path: Path) -> None:
    content = tls.checked(server(*pair(tmp_path, "a.example")))
    (tmp_path / "both").write_bytes(content)
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "both")
    assert b"\n\n" not in content


def test_both_may_be_in_one_file_among_words_and_blank_lines(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "a.example")
    both = tmp_path / "both"
    both.write_bytes(b"Subject: x\n\n" + certificate.read_bytes() + b"\n\n" + key.read_bytes().replace(b"\n", b"\r\n"))
    assert tls.checked(server(both, both)) == tls.checked(server(certificate, key))


def broken(folder: Path, what: str) -> tuple[Path, Path]:
    certificate, key = pair(folder, "a.example")
    other, other_key = pair(folder, "b.example", "other")
    match what:
        case "missing":
            return folder / "nothing", key
        case "a folder":
            return folder, key
        case "no certificate":
            certificate.write_text("hello")
        case "a key for a certificate":
            return key, key
        case "half of it":
            certificate.write_bytes(certificate.read_bytes()[:300])
        case "no key":
            key.write_text("")
        case "another's key":
            return certificate, other_key
        case "another's certificate":
            return other, key
        case "a passphrase":
            return pair(folder, "a.example", passphrase=b"secret")
        case "expired":
            return pair(folder, "a.example", begins=-2 * HOUR, ends=-HOUR)
        case "not yet":
            return pair(folder, "a.example", begins=HOUR, ends=2 * HOUR)
        case "too many issuers":
            certificate.write_bytes(certificate.read_bytes() * 40)
        case "too large":
            certificate.write_bytes(b"x" * 300_000)
    return certificate, key


@pytest.mark.parametrize(
    ("what", "setting", "said"),
    [
        ("missing", "certificate", "cannot be read: No such file"),
        ("a folder", "certificate", "cannot be read: Is a directory"),
        ("no certificate", "certificate", "holds no certificate in PEM form"),
        ("a key for a certificate", "certificate", "holds no certificate in PEM form"),
        ("half of it", "certificate", "holds no certificate in PEM form"),
        ("no key", "key", "cannot be used"),
        ("another's key", "key", "is not the key of"),
        ("another's certificate", "key", "is not the key of"),
        ("a passphrase", "key", "needs a passphrase"),
        ("expired", "certificate", "which is not now: renew it"),
        ("not yet", "certificate", "which is not now: renew it"),
        ("too many issuers", "certificate", "leave out the root"),
        ("too large", "certificate", "has more than 256 KB"),
    ],
)
def test_files_that_cannot_be_used_are_refused_with_what_is_wrong(
    tmp_path: Path, what: str, setting: str, said: str
) -> None:
    with pytest.raises(SettingsError) as refused:
        tls.checked(server(*broken(tmp_path, what)))
    assert refused.value.message.startswith(f"server.tls_{setting}: {tmp_path}") or what == "too many issuers"
    assert said in refused.value.message


def test_a_certificate_counts_by_the_time_of_the_check(tmp_path: Path) -> None:
    chosen = server(*pair(tmp_path, "a.example"))
    tls.checked(chosen, datetime.now(UTC) + timedelta(minutes=59))
    with pytest.raises(SettingsError):
        tls.checked(chosen, datetime.now(UTC) + timedelta(minutes=61))


def test_the_copy_is_private_and_a_refused_pair_leaves_it_alone(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "a.example")
    placed = tls.place(tmp_path, server(certificate, key))
    key.write_text("broken")
    with pytest.raises(SettingsError):
        tls.renew(tmp_path, server(certificate, key))
    assert (tmp_path / tls.COPY).read_bytes() == placed
    assert (tmp_path / tls.COPY).stat().st_mode & 0o777 == 0o600


def test_without_a_running_haproxy_there_is_nothing_to_renew(tmp_path: Path) -> None:
    with pytest.raises(InstallationError, match="is the installation up"):
        tls.renew(tmp_path, server(*pair(tmp_path, "a.example")))


def test_the_two_settings_come_together_relative_to_the_data_folder_and_make_the_address_https(tmp_path: Path) -> None:
    for alone in ("certificate", "key"):
        with pytest.raises(SettingsError, match="belong together"):
            load(tmp_path, environment={}, options={f"server.tls_{alone}": "/a"})
    both = {"server.tls_certificate": "tls/chain.pem", "server.tls_key": "/etc/key.pem"}
    found = load(tmp_path, environment={}, options=both).server
    assert (found.tls_certificate, found.tls_key) == (f"{tmp_path.resolve()}/tls/chain.pem", "/etc/key.pem")
    assert found.public_url == "https://127.0.0.1:8000"

"""An installation with certificates everywhere: its own server's, renewed under load, and mutual ones between Ray's
processes."""

from __future__ import annotations

import http.client
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.errors import NotInstalledError
from cluster.launch import pids, ports
from tests.integration.test_launcher import Whisperer
from tests.integration.test_tls import presented, s_client
from tests.support.certificates import pair, serial
from tests.support.stand import until

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl (Debian: apt-get install openssl)"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    pair(folder, "127.0.0.1")
    pair(folder, "127.0.0.1", "node")
    return folder


@pytest.fixture(scope="module")
def secured(files: Path) -> Iterator[Whisperer]:
    one = Whisperer(files / "data")
    one.data_dir.mkdir()
    node = [
        f'{name} = "{files}/node.{end}"' for name, end in (("certificate", "pem"), ("key", "key"), ("authority", "pem"))
    ]
    (one.data_dir / "settings.toml").write_text("[cluster]\n" + "".join(f"tls_{line}\n" for line in node))
    try:
        own = ["--tls-certificate", str(files / "own.pem"), "--tls-key", str(files / "own.key")]
        assert one.run("up", "--port", str(one.port), *own) == 0, one.said()
        yield one
    finally:
        one.run("down")
        try:
            pids.end(one.processes(), 2.0)
            ports.release(Path(one.record.temp_dir))
        except NotInstalledError:
            pass


def get(one: Whisperer, files: Path, path: str) -> httpx.Response:
    context = ssl.create_default_context(cafile=str(files / "own.pem"))
    with httpx.Client(verify=context, trust_env=False, timeout=30) as browser:
        return browser.get(f"https://127.0.0.1:{one.port}{path}")


def test_it_answers_by_tls_1_3_and_its_own_commands_reach_it(secured: Whisperer, files: Path) -> None:
    assert secured.record.url == f"https://127.0.0.1:{secured.port}"
    ready = get(secured, files, "/readyz")
    assert (ready.status_code, ready.headers["strict-transport-security"]) == (200, "max-age=31536000")
    assert s_client(secured.port, "-tls1_2").returncode != 0
    assert secured.run("status") == 0, secured.said()
    found, _ = secured.record.configured()
    local = httpx.get(f"http://127.0.0.1:{found.http_local}/readyz", trust_env=False)
    assert (local.status_code, "strict-transport-security" in local.headers) == (200, False)


def test_a_certificate_is_renewed_under_load_without_a_failure(secured: Whisperer, files: Path) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    stop, answered, failed = threading.Event(), [0, 0], []

    def ask(number: int) -> None:
        kept = http.client.HTTPSConnection("127.0.0.1", secured.port, context=context, timeout=60)
        while not stop.is_set():
            try:
                kept.request("GET", "/readyz")
                answer = kept.getresponse()
                answer.read()
                if answer.status == 200:
                    answered[number] += 1
                else:
                    failed.append(str(answer.status))
            except Exception as error:
                failed.append(repr(error))
            if number:
                kept.close()  # each request on a new connection
        kept.close()

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            before = list(answered)
            pair(files, "127.0.0.1")
            assert secured.run("tls", "reload") == 0, secured.said()
            assert presented(secured.port) == serial(files / "own.pem")
            until(lambda before=before: all(n > then for n, then in zip(answered, before, strict=True)), "more answers")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []


def test_files_that_cannot_be_used_are_refused_and_the_server_keeps_what_it_has(
    secured: Whisperer, files: Path
) -> None:
    before, key = presented(secured.port), (files / "own.key").read_bytes()
    (files / "own.key").write_bytes((files / "node.key").read_bytes())
    assert secured.run("tls", "reload") == 2
    assert "is not the key of" in secured.said()
    assert presented(secured.port) == before
    (files / "own.key").write_bytes(key)


def test_a_start_with_files_that_cannot_be_used_starts_nothing(files: Path, tmp_path: Path) -> None:
    one = Whisperer(tmp_path / "data")
    own = ["--tls-certificate", str(files / "own.pem"), "--tls-key", str(files / "node.key")]
    assert one.run("up", "--port", str(one.port), *own) == 2
    assert f"server.tls_key: {files}/node.key is not the key of {files}/own.pem" in one.said()
    with pytest.raises(NotInstalledError):
        assert one.record.head == []


def test_rays_processes_let_in_only_who_shows_a_certificate_of_their_authority(secured: Whisperer, files: Path) -> None:
    address = secured.record.ray_address
    trust = ["-CAfile", str(files / "node.pem"), "-verify_return_error"]
    own = ["-cert", str(files / "node.pem"), "-key", str(files / "node.key")]
    port = int(address.rpartition(":")[2])
    assert "Verify return code: 0 (ok)" in s_client(port, *trust, *own).stdout
    assert is_let_in(port, files, "node")
    assert not is_let_in(port, files, None)
    assert not is_let_in(port, files, "own")


def is_let_in(port: int, files: Path, stem: str | None) -> bool:
    """Whether the server goes on after it has seen the client's certificate. TLS 1.3 says so only then."""
    context = ssl.create_default_context(cafile=str(files / "node.pem"))
    context.set_alpn_protocols(["h2"])
    if stem is not None:
        context.load_cert_chain(files / f"{stem}.pem", files / f"{stem}.key")
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=30) as bare,
            context.wrap_socket(bare, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
            return bool(connection.recv(1))
    except (ssl.SSLError, ConnectionError):
        return False

"""TLS at the front door: the real HAProxy with Ray's lines, asked by OpenSSL's own client."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cryptography import x509

from cluster.errors import SettingsError
from cluster.launch import tls
from tests.integration.test_haproxy_program import haproxy, n_connections, told
from tests.support.certificates import pair, serial
from tests.support.stand import until
from whisperer.settings import ServerSettings


class Door:
    """A server with a certificate, and the port on which it speaks TLS."""

    def __init__(self, folder: Path, certificate: Path, key: Path, local_url: str) -> None:
        self.folder, self.certificate, self.key, self.local_url = folder, certificate, key, local_url
        self.settings = ServerSettings(tls_certificate=str(certificate), tls_key=str(key))
        binds = [line.split() for line in (folder / "c").read_text().splitlines() if " bind 127.0.0.1:" in line]
        self.port = next(int(words[1].rpartition(":")[2]) for words in binds if "ssl" in words)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.certificate))

    def s_client(self, *options: str) -> subprocess.CompletedProcess[str]:
        return s_client(self.port, *options)


def s_client(port: int, *options: str) -> subprocess.CompletedProcess[str]:
    """What `openssl s_client` makes of a port; its exit code is 0 only if the handshake succeeded."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-no_ign_eof", *options]
    return subprocess.run(command, input="", capture_output=True, text=True, timeout=30, check=False)


@contextmanager
def door(folder: Path) -> Iterator[Door]:
    files = folder / "operator"
    files.mkdir()
    certificate, key = pair(files, "127.0.0.1")
    with haproxy(folder, tls_certificate=str(certificate), tls_key=str(key)) as local_url:
        yield Door(folder, certificate, key, local_url)


pytestmark = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="needs openssl (Debian: apt-get install openssl)"
)


def test_tls_1_3_is_spoken_and_nothing_older(tmp_path: Path) -> None:
    with door(tmp_path) as at:
        spoken = at.s_client("-tls1_3", "-CAfile", str(at.certificate), "-verify_return_error")
        assert (spoken.returncode, "TLSv1.3" in spoken.stdout) == (0, True), spoken.stderr
        for older in ("-tls1_2", "-tls1_1", "-tls1"):
            refused = at.s_client(older, "-cipher", "ALL:@SECLEVEL=0")
            assert refused.returncode != 0
            assert "Cipher is (NONE)" in refused.stdout or "alert protocol version" in refused.stderr, refused.stdout
        assert httpx.get(f"{at.url}/v1/x", verify=at.trusting(), trust_env=False).status_code == 200


def test_http_without_tls_is_no_request_on_its_port(tmp_path: Path) -> None:
    with door(tmp_path) as at, pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{at.port}/v1/x", trust_env=False)


def test_a_connection_carries_one_request_at_a_time_over_tls_too(tmp_path: Path) -> None:
    with door(tmp_path) as at:
        assert "No ALPN negotiated" in at.s_client("-alpn", "h2").stdout
        assert "ALPN protocol: http/1.1" in at.s_client("-alpn", "h2,http/1.1").stdout


def test_browsers_are_told_to_stay_with_tls_by_tls_only(tmp_path: Path) -> None:
    with door(tmp_path) as at:
        over_tls = httpx.get(f"{at.url}/v1/x", verify=at.trusting(), trust_env=False)
        assert over_tls.headers["strict-transport-security"] == "max-age=31536000"
        assert "strict-transport-security" not in httpx.get(f"{at.local_url}/v1/x", trust_env=False).headers
        assert "x-forwarded-proto" not in told(at.local_url, {"X-Forwarded-Proto": "https"})
        seen = httpx.get(f"{at.url}/told", headers={"X-Forwarded-Proto": "http"}, verify=at.trusting(), trust_env=False)
        assert "x-forwarded-proto: https" in seen.text


def test_a_renewed_certificate_is_used_without_a_dropped_request(tmp_path: Path) -> None:
    with door(tmp_path) as at:
        before = serial(at.certificate)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        stop, answered, failed = threading.Event(), [0, 0], []

        def ask(number: int, is_kept: bool) -> None:
            """Requests in a row: on one connection that stays open, or each on a new one."""
            kept = http.client.HTTPSConnection("127.0.0.1", at.port, context=context, timeout=10)
            while not stop.is_set():
                try:
                    kept.request("GET", "/v1/x")
                    if kept.getresponse().read().startswith(b"GET|"):
                        answered[number] += 1
                    else:
                        failed.append("another answer")
                except Exception as error:
                    failed.append(repr(error))
                    kept.close()
                if not is_kept:
                    kept.close()
            kept.close()

        threads = [threading.Thread(target=ask, args=(n, n == 0)) for n in range(2)]
        for thread in threads:
            thread.start()
        serials = {before}
        for _ in range(5):
            pair(at.certificate.parent, "127.0.0.1")
            n_before = list(answered)
            tls.renew(at.folder, at.settings)
            serials.add(presented(at.port))
            until(
                lambda n_before=n_before: all(now > then for now, then in zip(answered, n_before, strict=True)), "more"
            )
        stop.set()
        for thread in threads:
            thread.join()
        assert failed == []
        assert len(serials) == 6
        assert presented(at.port) == serial(at.certificate)


def presented(port: int) -> int:
    """The serial number of the certificate that a new connection is shown."""
    return x509.load_pem_x509_certificate(ssl.get_server_certificate(("127.0.0.1", port)).encode()).serial_number


def test_files_that_became_unusable_change_nothing_even_when_haproxy_starts_again(tmp_path: Path) -> None:
    with door(tmp_path) as at:
        before = presented(at.port)
        at.key.write_text("half a ke")
        with pytest.raises(SettingsError):
            tls.renew(at.folder, at.settings)
        assert presented(at.port) == before
        command = [str(at.folder / "haproxy"), "-c", "-f", str(at.folder / "c")]
        # The rules are in the configuration by now, and the program would add them again.
        (at.folder / "changes").write_text("")
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_connection_that_never_speaks_tls_takes_one_of_its_addresss_places(tmp_path: Path) -> None:
    with door(tmp_path) as at, contextlib.ExitStack() as held:
        for _ in range(5):
            silent = socket.create_connection(("127.0.0.1", at.port), source_address=("127.0.0.7", 0))
            held.enter_context(silent)

        hello = ssl.MemoryBIO()
        with contextlib.suppress(ssl.SSLWantReadError):
            at.trusting().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="127.0.0.1").do_handshake()
        greeting = hello.read()

        def is_refused(source: str) -> bool:
            try:
                with socket.create_connection(("127.0.0.1", at.port), timeout=5, source_address=(source, 0)) as bare:
                    bare.sendall(greeting)
                    return bare.recv(1) == b""
            except ConnectionError:
                return True

        until(lambda: n_connections(tmp_path, "127.0.0.7") == 5, "HAProxy has counted five")
        until(lambda: is_refused("127.0.0.7"), "the sixth connection is closed")
        assert not is_refused("127.0.0.8")

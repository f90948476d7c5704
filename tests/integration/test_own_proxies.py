"""The proxies of examples/proxies as they are written, over the real front door: only names, ports and files differ."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration.test_haproxy_program import haproxy
from tests.integration.test_tls import s_client
from tests.support.certificates import pair
from tests.support.stand import ROOT, free_port, until

EXAMPLES = ROOT / "examples" / "proxies"
NGINX = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


def replaced(name: str, changes: dict[str, str]) -> str:
    text = (EXAMPLES / name).read_text()
    for written, here in changes.items():
        assert written in text, (name, written)
        text = text.replace(written, here)
    return text


def nginx(folder: Path, behind: str, port: int, certificate: Path, key: Path) -> list[str]:
    changes = {
        "127.0.0.1:8000": behind,
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "/etc/letsencrypt/live/hi.example.com/fullchain.pem": str(certificate),
        "/etc/letsencrypt/live/hi.example.com/privkey.pem": str(key),
    }
    (folder / "site.conf").write_text(replaced("nginx.conf", changes))
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
    return ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(folder / "nginx.conf")]


def another_haproxy(folder: Path, behind: str, port: int, certificate: Path, key: Path) -> list[str]:
    both = folder / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    changes = {
        "127.0.0.1:8000": behind,
        "bind :443": f"bind 127.0.0.1:{port}",
        "/etc/haproxy/hi.example.com.pem": str(both),
        "maxconn 10000": "maxconn 100",
    }
    (folder / "haproxy.cfg").write_text(replaced("haproxy.cfg", changes))
    return ["haproxy", "-db", "-f", str(folder / "haproxy.cfg")]


class Proxy:
    def __init__(self, port: int, certificate: Path) -> None:
        self.port, self._certificate = port, certificate

    def get(self, path: str, headers: dict[str, str] | None = None, source: str = "127.0.0.1") -> httpx.Response:
        context = ssl.create_default_context(cafile=str(self._certificate))
        transport = httpx.HTTPTransport(verify=context, local_address=source)
        with httpx.Client(transport=transport, base_url=f"https://127.0.0.1:{self.port}") as http:
            return http.get(path, headers=headers)

    def status(self, target: bytes, host: bytes = b"hi.example.com") -> int:
        """The status of a request that no client library would write."""
        context = ssl.create_default_context(cafile=str(self._certificate))
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as bare,
            context.wrap_socket(bare, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
            return int(connection.recv(65_536)[9:12])


@contextmanager
def running(kind: str, folder: Path) -> Iterator[Proxy]:
    if shutil.which(kind) is None:
        pytest.skip(f"there is no {kind} here (Debian: apt-get install {kind})")
    front = folder / "front"
    front.mkdir()
    certificate, key = pair(front, "127.0.0.1")
    with haproxy(folder, trusted_proxies="127.0.0.1") as url:
        port = free_port()
        make = nginx if kind == "nginx" else another_haproxy
        command = make(front, url.removeprefix("http://"), port, certificate, key)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            proxy = Proxy(port, certificate)

            def answers() -> bool:
                assert process.poll() is None, process.stdout and process.stdout.read()
                try:
                    return proxy.get("/v1/x").status_code == 200
                except httpx.HTTPError:
                    return False

            until(answers, f"{kind} answers")
            yield proxy
        finally:
            process.terminate()
            process.communicate(timeout=30)


@pytest.fixture(params=["nginx", "haproxy"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Proxy]:
    with running(request.param, tmp_path) as found:
        yield found


def test_the_proxy_speaks_tls_1_3_only_and_tells_browsers_to_stay(proxy: Proxy) -> None:
    assert "TLSv1.3" in s_client(proxy.port, "-tls1_3").stdout
    assert s_client(proxy.port, "-tls1_2", "-cipher", "ALL:@SECLEVEL=0").returncode != 0
    answer = proxy.get("/v1/x")
    assert answer.headers.get_list("strict-transport-security") == ["max-age=31536000"]
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_gateway_is_told_the_clients_address_and_not_what_the_client_claims(proxy: Proxy) -> None:
    claims = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Host": "evil.example", "Forwarded": "for=203.0.113.9"}
    for headers in ({}, claims):
        answer = proxy.get("/v1/x", headers, source="127.0.0.5")
        assert answer.text.startswith("GET|secret 127.0.0.5|")


def test_only_what_is_meant_for_outside_is_reached_however_it_is_written(proxy: Proxy) -> None:
    assert proxy.status(b"/v1/users/acme%2Fexport") == 200
    for target in (
        b"/",
        b"/told",
        b"/internal/status",
        b"/internal/tenants/t/users/..%2f..%2f..%2f..%2fv1%2fx",
        b"/told/../v1/x",
        b"/told/..%2fv1/x",
        b"/%2e%2e/told",
        b"//told",
        b"/./told",
    ):
        assert proxy.status(target) in (400, 404), target
    assert proxy.status(b"/v1/../told") in (200, 400, 404)  # as it was written: nothing of that name is routed


def test_what_is_no_host_is_400(proxy: Proxy) -> None:
    for host in (b"[", b"a b", b"a/b"):
        assert proxy.status(b"/v1/x", host) == 400


def test_an_id_with_an_encoded_slash_arrives_as_it_was_written(proxy: Proxy) -> None:
    context = proxy.get("/v1/users/acme%2Fexport")
    assert context.text.endswith("|/v1/users/acme%2Fexport")

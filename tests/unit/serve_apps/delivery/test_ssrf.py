from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading

import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.settings import networks
from serve_apps.delivery import ssrf
from serve_apps.delivery.ssrf import (
    ForbiddenAddressError,
    Guard,
    GuardedBackend,
    Resolver,
    UnresolvableError,
    is_public,
)

FORBIDDEN = [
    "0.0.0.0",
    "0.1.2.3",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::a00:1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "fe80::1",
    "fe80::1%lo",
    "2606:4700::1%lo",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "172.15.255.255", "172.32.0.1", "100.128.0.1", "2606:4700:4700::1111", "2a00:1450::1"]


def guard(*answers: list[str], open_to: str = "", provider: str = "webhook") -> Guard:
    """A guard whose resolver gives these answers, one a call."""
    left = list(answers)

    async def answer(host: str, port: int) -> list[str]:
        return left.pop(0)

    return Guard(provider, open_networks=networks(open_to), resolve=answer)


@pytest.mark.parametrize("address", FORBIDDEN)
async def test_an_address_that_is_not_of_the_internet_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(ForbiddenAddressError):
        await guard([address]).addresses("hooks.example.com", 443)
    with pytest.raises(ForbiddenAddressError):  # one such address among good ones is enough
        await guard(["8.8.8.8", address]).addresses("hooks.example.com", 443)


@pytest.mark.parametrize("address", PUBLIC)
async def test_an_address_of_the_internet_may_be_called(address: str) -> None:
    assert await guard([address]).addresses("hooks.example.com", 443) == [address]


@given(st.ip_addresses())
def test_nothing_public_is_anything_that_python_calls_special(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if is_public(address):
        special = [address.is_private, address.is_loopback, address.is_link_local, address.is_multicast]
        assert not any([*special, address.is_reserved, address.is_unspecified])


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "0", "127.0.0.1"])
async def test_however_this_machine_is_spelled_it_is_refused(host: str) -> None:
    with pytest.raises((ForbiddenAddressError, UnresolvableError)):
        await Guard("smtp").addresses(host, 587)


@pytest.mark.parametrize("port", [0, 22, 25, 53, 79, 81, 389, 1023, 65_536])
async def test_a_port_of_another_service_is_refused(port: int) -> None:
    with pytest.raises(ForbiddenAddressError, match="port"):
        await guard(["8.8.8.8"]).addresses("hooks.example.com", port)


async def test_networks_may_be_opened_and_nothing_else_with_them() -> None:
    here = "127.0.0.0/8 ::1, 10.1.2.3"
    for address in ("127.0.0.1", "127.9.9.9", "::1", "10.1.2.3"):
        assert await guard([address], open_to=here).addresses("x.example.com", 8080) == [address]
    for address in ("10.1.2.4", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "::", "::2"):
        with pytest.raises(ForbiddenAddressError):
            await guard([address], open_to=here).addresses("x.example.com", 8080)


@pytest.mark.parametrize("port", [0, 22, 24, 80, 110, 443, 464, 993, 1023, 65_536])
async def test_a_mail_server_has_a_mail_server_s_port(port: int) -> None:
    with pytest.raises(ForbiddenAddressError, match="port"):
        await guard(["8.8.8.8"], provider="smtp").addresses("mail.example.com", port)
    for allowed in (25, 465, 587, 2525):
        assert await guard(["8.8.8.8"], provider="smtp").addresses("mail.example.com", allowed) == ["8.8.8.8"]


async def test_a_name_without_addresses_is_tried_later() -> None:
    with pytest.raises(UnresolvableError):
        await guard([]).addresses("x.example.com", 443)

    async def fails(host: str, port: int) -> list[str]:
        raise OSError("no such name")

    with pytest.raises(UnresolvableError):
        await Guard("webhook", resolve=fails).addresses("x.example.com", 443)


async def test_the_system_resolver_gives_addresses_in_numbers() -> None:
    assert await Resolver()("127.0.0.1", 80) == ["127.0.0.1"]


async def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = GuardedBackend(guard(["8.8.8.8", "1.1.1.1"], ["127.0.0.1"]))
    called: list[str] = []

    class Recording:
        async def connect_tcp(self, host: str, *_: object) -> httpcore.AsyncNetworkStream:
            called.append(host)
            raise httpcore.ConnectError("nobody there")

    monkeypatch.setattr(backend, "_backend", Recording())
    with pytest.raises(httpcore.ConnectError):
        await backend.connect_tcp("rebinding.example.com", 443)
    assert called == ["8.8.8.8", "1.1.1.1"]  # the name was asked for once, and never by the socket
    with pytest.raises(ForbiddenAddressError):  # a new connection asks again, and is checked again
        await backend.connect_tcp("rebinding.example.com", 443)
    assert called == ["8.8.8.8", "1.1.1.1"]
    with pytest.raises(ForbiddenAddressError):
        await backend.connect_unix_socket("/run/docker.sock")


async def test_what_is_sent_in_the_clear_stays_in_opened_networks() -> None:
    async def found(host: str, port: int) -> list[str]:
        return [host]

    inside = Guard("sendgrid", open_networks=networks("10.1.0.0/16"), resolve=found).inside()
    assert await inside.addresses("10.1.2.3", 8080) == ["10.1.2.3"]
    for host in ("8.8.8.8", "2606:4700::1", "10.2.0.1", "127.0.0.1"):
        with pytest.raises(ForbiddenAddressError, match="https://"):
            await inside.addresses(host, 8080)
    with pytest.raises(ForbiddenAddressError, match="port 22"):
        await inside.addresses("10.1.2.3", 22)


async def test_a_name_whose_servers_do_not_answer_holds_one_thread_and_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers, asked = threading.Event(), []

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        if host == "dead.example":
            answers.wait(10)
        return ["192.0.2.1"]

    monkeypatch.setattr(ssrf, "_look_up", look_up)
    resolve = Resolver()
    waiting = [asyncio.ensure_future(resolve("dead.example", 25)) for _ in range(200)]
    await asyncio.sleep(0)
    waiting[0].cancel()  # whoever gives up takes nothing from the others
    assert await asyncio.wait_for(resolve("other.example", 25), 5) == ["192.0.2.1"]
    answers.set()
    assert await asyncio.gather(*waiting[1:]) == [["192.0.2.1"]] * 199
    assert sorted(asked) == ["dead.example", "other.example"]
    await resolve("dead.example", 25)
    assert len(asked) == 3, "an answer is not kept: the next connection asks again"


async def test_a_small_write_does_not_wait_for_the_one_before_it_to_be_acknowledged() -> None:
    """A mail's final dot would otherwise wait 40 ms for the other side's delayed acknowledgement."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    opened = await Guard("smtp", open_networks=networks("127.0.0.0/8")).connect("127.0.0.1", port)
    with opened:
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    server.close()

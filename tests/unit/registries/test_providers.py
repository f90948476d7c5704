"""Every provider's entry: its documented configuration works, a bad one is refused with reasons, secrets stay hidden,
and what its adapter answers is right before and after the point of no return.

A new entry in `whisperer.delivery.providers` is tested here as it stands; it needs an example in docs/delivery.md and a
peer in `provider_peers`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from typer.testing import CliRunner

from cluster.cli.app import app
from cluster.control_plane.channels import ChannelConfig
from cluster.control_plane.documents import channel_document
from serve_apps.delivery.adapters import ADAPTERS, maker
from serve_apps.delivery.provider import MAX_DETAIL_CHARS
from serve_apps.delivery.searching import Searching
from tests.unit.registries.channel_examples import ADDRESSES, source
from tests.unit.registries.provider_peers import NOW, PEERS, Behaviour, Peer
from tests.unit.whisperer.delivery.dispatches import dispatch
from tests.unit.whisperer.delivery.service_account import with_private_key
from whisperer.delivery.channels import is_repeatable, parse_channel, redacted
from whisperer.delivery.dispatch import Dispatch, Verdict
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.providers import PROVIDERS, RESEND_UNKNOWN, ProviderSpec
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.providers import PROVIDER_NAMES, UNSET

PAGE = (Path(__file__).parents[3] / "docs" / "delivery.md").read_text()
EXAMPLES: dict[str, dict[str, Any]] = {
    found["provider"]: with_private_key(found.get("config", {}))
    for found in map(json.loads, re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
    if "provider" in found and "callback_url" not in found  # the latter is an answer
}
SECRET_NAMES = re.compile(r"password|secret|token|key|credential|url|callback|dkim")

every_provider = pytest.mark.parametrize("provider", PROVIDERS.values(), ids=PROVIDERS)


def configured(provider: ProviderSpec) -> dict[str, Any]:
    return parse_channel(provider.channels[0], provider.name, EXAMPLES[provider.name])


def secrets(provider: ProviderSpec) -> list[str]:
    """The texts in the documented example that nobody may see."""
    found: list[str] = []
    for name, value in EXAMPLES[provider.name].items():
        if name in provider.shown:
            match value:
                case list():
                    found += value
                case dict():
                    found += [value["private_key"], value["private_key_id"]]
                case _:
                    found.append(value.partition("?")[2] or value)
    return found


def problems_of(provider: ProviderSpec, config: object, channel: str | None = None) -> dict[str, str]:
    """Place -> code of what is wrong with a configuration; nothing if it is good."""
    try:
        parse_channel(channel or provider.channels[0], provider.name, config)
    except ChannelError as error:
        found = error.errors
    else:
        found = []
    for problem in found:
        assert len(problem["message"]) > 5, problem
        assert not any(secret in problem["message"] for secret in secrets(provider))
    return {problem["pointer"]: problem["code"] for problem in found}


def problems(provider: ProviderSpec, config: object, channel: str | None = None) -> dict[str, str]:
    found = problems_of(provider, config, channel)
    assert found, "it was taken"
    return found


def test_names_entries_examples_adapters_and_peers_are_the_same() -> None:
    assert tuple(PROVIDERS) == PROVIDER_NAMES
    assert all(name == provider.name for name, provider in PROVIDERS.items())
    assert set(PROVIDERS) == set(EXAMPLES) == set(PEERS) == {UNSET, *ADAPTERS}
    assert UNSET not in ADAPTERS


@every_provider
def test_it_carries_channels_that_exist_and_no_others(provider: ProviderSpec) -> None:
    assert 0 < len(provider.channels) == len(set(provider.channels))
    assert set(provider.channels) <= set(CHANNELS)
    for channel in CHANNELS:
        if channel in provider.channels:
            parse_channel(channel, provider.name, EXAMPLES[provider.name])
        else:
            assert problems(provider, EXAMPLES[provider.name], channel) == {"/provider": "unknown_provider"}


@every_provider
def test_a_checked_configuration_is_complete_and_checks_to_itself(provider: ProviderSpec) -> None:
    checked = configured(provider)
    assert set(EXAMPLES[provider.name]) <= set(checked)
    assert json.loads(json.dumps(checked)) == checked
    assert parse_channel(provider.channels[0], provider.name, checked) == checked


@every_provider
def test_a_bad_configuration_is_refused_with_the_place_and_the_remedy(provider: ProviderSpec) -> None:
    example = EXAMPLES[provider.name]
    assert problems(provider, example | {"colour": "red"}) == {"/config": "unknown_field"}
    assert problems(provider, []) == {"/config": "invalid_type"}
    for name in configured(provider):
        for bad in ({"no": "object"}, "a\r\nb", True, -1, "x" * 5_000):
            if bad is True and name == RESEND_UNKNOWN:
                continue
            found = problems(provider, example | {name: bad})
            assert any(pointer.startswith(f"/config/{name}") for pointer in found), (name, bad, found)
    for name in example:
        lacking = {key: value for key, value in example.items() if key != name}
        assert set(problems_of(provider, lacking).values()) <= {"missing_field"}


@every_provider
def test_every_field_is_documented(provider: ProviderSpec) -> None:
    table = PAGE.partition("| provider | carries | configuration |")[2].partition("```")[0]
    [row] = re.findall(rf"^\| `{provider.name}` \| (.*) \|$", table, re.MULTILINE)
    carried, _, fields = row.partition(" | ")
    assert all(f"`{name}`" in fields for name in configured(provider)), fields
    every = set(provider.channels) == set(CHANNELS)
    assert carried == ("all" if every else ", ".join(f"`{channel}`" for channel in provider.channels))
    for port in provider.own_ports:
        assert re.search(rf"\b{port}\b", PAGE)


@every_provider
def test_fields_that_sound_secret_are_hidden(provider: ProviderSpec) -> None:
    assert {name for name in configured(provider) if SECRET_NAMES.search(name)} == set(provider.shown)


@every_provider
def test_what_is_shown_holds_no_secret_and_cannot_be_taken_for_a_configuration(provider: ProviderSpec) -> None:
    checked = configured(provider)
    stored = ChannelConfig(provider.name, checked)
    shown = redacted(provider.name, checked)
    assert set(shown) == set(checked)
    for text in (
        json.dumps(shown),
        repr(stored),
        msgspec.json.encode(channel_document(provider.channels[0], stored)).decode(),
    ):
        assert not any(secret in text for secret in secrets(provider))
    if secrets(provider):
        assert problems(provider, shown)


@every_provider
def test_it_says_what_an_unknown_outcome_means(provider: ProviderSpec) -> None:
    for channel in provider.channels:
        assert provider.takes_keys or not is_repeatable(channel)
    told = PAGE.partition("## Unknown outcomes")[2].partition("##")[0]
    assert re.search(rf"^\| `{provider.name}` \| {'yes' if provider.takes_keys else 'no'}: ", told, re.MULTILINE)


@every_provider
async def test_it_can_be_asked_for_a_message_exactly_where_it_says_so(provider: ProviderSpec) -> None:
    told = PAGE.partition("### Searching for a message")[2].partition("##")[0]
    if provider.name not in ADAPTERS or provider.takes_keys:
        assert not provider.searches
        return
    assert re.search(
        rf"^\| .*`{provider.name}`.* \| {'(?!nothing:)' if provider.searches else 'nothing:'}", told, re.MULTILINE
    )
    adapter = maker(lambda: NOW, [])(provider.name, configured(provider))
    assert isinstance(adapter, Searching) == provider.searches
    if isinstance(adapter, Searching):
        assert callable(adapter._finder.find)
        assert not any(secret in adapter._finder.where for secret in secrets(provider))
    await adapter.aclose()


@every_provider
def test_help_names_it(provider: ProviderSpec) -> None:
    shown = CliRunner().invoke(app, ["channel", "set", "--help"], env={"COLUMNS": "200"})
    assert re.search(rf"\b{provider.name}\b", shown.output)


@every_provider
def test_its_ports_are_not_those_of_other_services(provider: ProviderSpec) -> None:
    assert all(provider.allows_port(port) for port in (*provider.own_ports, 1_024, 65_535))
    assert not any(provider.allows_port(port) for port in (0, 22, 1_023, 65_536) if port not in provider.own_ports)
    assert all(str(port) in provider.ports for port in provider.own_ports)


# -- adapters ---------------------------------------------------------------------------------------------------------

STATUSES: dict[Behaviour, set[str]] = {
    Behaviour.ACCEPTS: {Verdict.ACCEPTED},
    Behaviour.REFUSES: {Verdict.REJECTED, Verdict.BOUNCED},
    Behaviour.BUSY: {Verdict.RETRY},
    Behaviour.HANGS_BEFORE: {Verdict.RETRY},
    Behaviour.BREAKS_BEFORE: {Verdict.RETRY},
    Behaviour.HANGS_AFTER: {Verdict.UNKNOWN},
    Behaviour.BREAKS_AFTER: {Verdict.UNKNOWN},
}
"""What the provider does -> what may be answered."""

Play = Callable[[ProviderSpec, Behaviour], Peer]


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Play]:
    peers: list[Peer] = []

    def made(provider: ProviderSpec, behaviour: Behaviour) -> Peer:
        peers.append(PEERS[provider.name](tmp_path, behaviour))
        return peers[-1]

    yield made
    for peer in peers:
        await peer.aclose()


def asked(provider: ProviderSpec, peer: Peer, **more: Any) -> Dispatch:
    channel = CHANNELS[provider.channels[0]]
    address = peer.addresses.get(peer.behaviour) or ADDRESSES[channel.address.kind][1]
    parts = peer.parts.get(peer.behaviour) or {
        part.name: source(part).replace("{{ user.name }}", "Ada") for part in channel.parts
    }
    return dispatch(1, channel.name, address=address, parts=parts, **more)


@every_provider
def test_a_tenant_may_have_unknown_attempts_repeated_where_no_key_makes_that_harmless(provider: ProviderSpec) -> None:
    assert (RESEND_UNKNOWN in configured(provider)) == (not provider.takes_keys)
    chosen = EXAMPLES[provider.name] | {RESEND_UNKNOWN: True}
    if provider.takes_keys:
        assert problems(provider, chosen) == {"/config": "unknown_field"}
    else:
        assert configured(provider)[RESEND_UNKNOWN] is False
        assert parse_channel(provider.channels[0], provider.name, chosen)[RESEND_UNKNOWN] is True


@pytest.mark.parametrize("name", ADAPTERS)
async def test_an_adapter_is_made_from_what_was_checked_and_says_no_secret(name: str) -> None:
    provider = PROVIDERS[name]
    make = maker(lambda: NOW, [])
    adapter = make(name, configured(provider))
    try:
        assert cast(type, ADAPTERS[name]).__name__ in repr(adapter)
        assert not any(secret in repr(adapter) for secret in secrets(provider))
    finally:
        await adapter.aclose()
    with pytest.raises(ValueError, match="pigeon"):
        make("pigeon", {})


@pytest.mark.parametrize(
    ("name", "behaviour"), [(name, behaviour) for name, peer in PEERS.items() for behaviour in peer.plays]
)
async def test_an_attempt_is_answered_for_what_became_of_it(
    name: str, behaviour: Behaviour, play: Play, caplog: pytest.LogCaptureFixture
) -> None:
    provider = PROVIDERS[name]
    peer = play(provider, behaviour)
    caplog.set_level(logging.DEBUG)
    adapter = peer.adapter(configured(provider))
    try:
        one = asked(provider, peer)
        receipt = await adapter.send(one)
    finally:
        await adapter.aclose()
    assert receipt.status in STATUSES[behaviour], receipt
    assert (receipt.send_key, receipt.provider) == (one.send_key, provider.name)
    assert (receipt.content_hash, receipt.locale) == (one.content_hash, one.locale)
    assert receipt.repeatable == (receipt.status == Verdict.UNKNOWN and provider.takes_keys)
    assert len(receipt.detail) <= MAX_DETAIL_CHARS
    assert receipt.detail or receipt.status == Verdict.ACCEPTED
    assert one.address not in receipt.detail
    assert peer.leaked not in receipt.detail
    assert pickle.loads(pickle.dumps(receipt)) == receipt
    for secret in secrets(provider):
        assert secret not in caplog.text
        assert secret not in repr(receipt)


def test_only_what_calls_nobody_is_excused_from_a_behaviour() -> None:
    assert [name for name, peer in PEERS.items() if peer.plays != tuple(Behaviour)] == [UNSET, "inbox"]


@every_provider
async def test_many_attempts_at_once_each_get_their_own_answer(provider: ProviderSpec, play: Play) -> None:
    peer = play(provider, Behaviour.ACCEPTS)
    adapter = peer.adapter(configured(provider))
    try:
        many = [asked(provider, peer, decision_id=f"dec_{n}") for n in range(20)]
        receipts = await asyncio.gather(*map(adapter.send, many))
    finally:
        await adapter.aclose()
    assert [receipt.send_key for receipt in receipts] == [
        dispatch(0, decision_id=f"dec_{n}").send_key for n in range(20)
    ]
    assert {receipt.status for receipt in receipts} == {Verdict.ACCEPTED}

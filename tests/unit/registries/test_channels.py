"""Every channel's entry: it renders, previews, finds and checks its address, can be consented to, and is documented.

A new entry in `whisperer.vocabulary.channels` is tested here as it stands.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from typer.testing import CliRunner

from cluster.cli.app import app
from serve_apps.gateway.pages.narrative import channel_words
from serve_apps.gateway.pages.sink import render_message
from serve_apps.gateway.pages.site import Site
from tests.support.gateway_world import Caller
from tests.unit.registries.channel_examples import ADDRESSES, SCHEMAS, SOURCES, filled, source, template
from tests.unit.registries.channel_examples import FORMS as PART_FORMS
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import message, target_of
from tests.unit.serve_apps.gateway.pages.reading import check_markup, check_policy
from tests.unit.whisperer.content.requests import UNSUBSCRIBE, ReadableLinks, request
from whisperer.content.errors import TemplateError
from whisperer.content.message import NotRendered, Rendered
from whisperer.content.render import CLEANED, READ, READ_TOGETHER, render
from whisperer.content.schema import template_json_schema
from whisperer.content.template import parse_template
from whisperer.decisions.context import NAMES, of_channel
from whisperer.delivery.addresses import FORMS, usable_address
from whisperer.delivery.providers import PROVIDERS
from whisperer.eligibility.addresses import address_of
from whisperer.eligibility.suppression import address_hash
from whisperer.vocabulary.channels import CHANNELS, AddressKind, Channel, ChannelName, Payload, Schema, Syntax
from whisperer.vocabulary.push import Form

DOCS = Path(__file__).parents[3] / "docs"

every_channel = pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS)


def rendered(channel: Channel, definition: dict[str, Any] | None = None, **more: Any) -> Rendered | NotRendered:
    asked = request(more.pop("traits", None), channel=channel.name, **more)
    return render(parse_template(definition or template(channel)), asked, ReadableLinks())


def test_the_names_and_the_entries_are_the_same() -> None:
    assert get_args(ChannelName) == tuple(CHANNELS)
    assert all(name == channel.name for name, channel in CHANNELS.items())


def test_every_kind_of_address_and_every_syntax_has_what_treats_it() -> None:
    assert set(get_args(AddressKind)) == set(FORMS) == set(ADDRESSES)
    assert set(get_args(Syntax)) == set(CLEANED) == set(SOURCES)
    assert set(get_args(Schema)) == set(READ) == set(SCHEMAS)
    assert set(get_args(Form)) == set(PART_FORMS)
    assert set(get_args(Payload)) == {"", *READ_TOGETHER}


@every_channel
def test_a_name_can_stand_in_a_path_a_feature_and_a_consent(channel: Channel) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", channel.name)
    assert channel.article == ("an" if channel.noun[0] in "aeiou" or channel.noun[:2].isupper() else "a")


@every_channel
def test_parts_fit_together(channel: Channel) -> None:
    names = channel.part_names
    assert len(set(names)) == len(names) > 0
    assert len(channel.alternatives) != 1  # an only alternative is simply needed
    for limit in channel.limits:
        assert set(limit.parts) <= set(names)
    for part in channel.parts:
        assert part.max_template_chars > 0
        assert part.max_bytes > 0
        assert part.syntax != "json" or not part.has_links
        if part.made_from:
            source = channel.part(part.made_from)
            assert source is not None
            assert (source.syntax, part.syntax) == ("html", "text")
            assert names.index(source.name) < names.index(part.name)
        if part.is_optional:
            assert not part.is_alternative
        if channel.has_unsubscribe_link and part.has_links:
            assert part.syntax in ("html", "text")


@every_channel
def test_a_message_has_all_parts_filled_in(channel: Channel) -> None:
    found = rendered(channel)
    assert isinstance(found, Rendered), found
    assert tuple(found.parts) == channel.part_names
    assert all("Ada" in found.parts[part.name] for part in channel.parts if not part.form)


@every_channel
def test_of_alternatives_any_one_is_enough_and_none_is_not(channel: Channel) -> None:
    for kept in channel.alternatives:
        definition = template(channel)
        for name in set(channel.alternatives) - {kept}:
            del definition["locales"]["en"][name]
        found = rendered(channel, definition)
        assert isinstance(found, Rendered)
        assert kept in found.parts
    needed = [[name] for name in channel.needed]
    for missing in (*needed, *([list(channel.alternatives)] if channel.alternatives else [])):
        definition = template(channel)
        for name in missing:
            del definition["locales"]["en"][name]
        with pytest.raises(TemplateError) as caught:
            parse_template(definition)
        assert {(e["pointer"], e["code"]) for e in caught.value.errors} == {("/locales/en", "missing_field")}
        assert all(name in caught.value.errors[0]["message"] for name in missing)
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(definition, template_json_schema())


@every_channel
def test_the_schema_takes_its_template_and_no_part_of_another(channel: Channel) -> None:
    jsonschema.validate(template(channel), template_json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(template(channel, smell="rose"), template_json_schema())
    with pytest.raises(TemplateError) as caught:
        parse_template(template(channel, smell="rose"))
    assert caught.value.errors[0]["code"] == "unknown_part"


@every_channel
def test_whatever_a_user_is_called_a_part_keeps_its_syntax(channel: Channel) -> None:
    name = 'Ada"}\r\nBcc: eve@example.com\u2028</p><script>x</script>\x00'
    found = rendered(channel, traits={"name": name})
    assert isinstance(found, Rendered), found
    for part in channel.parts:
        text = found.parts[part.name]
        if part.syntax == "json":
            if part.schema:
                assert json.loads(text) == json.loads(source(part)) | {"body": f"Hi {name}"}
            else:
                assert json.loads(text) == {"hi": name}
            continue
        assert "\x00" not in text
        assert "\r" not in text
        if part.syntax == "line":
            assert len(text.splitlines()) == 1
        if part.syntax == "html":
            assert "<script>" not in text


@every_channel
def test_a_message_over_a_limit_is_not_sent_and_the_author_reads_why(channel: Channel) -> None:
    for limit in channel.limits:
        found = rendered(channel, filled(channel, limit, limit.most))
        assert isinstance(found, Rendered), found
        found = rendered(channel, filled(channel, limit, limit.most + 1))
        assert isinstance(found, NotRendered)
        assert found.reason == "template_failed"
        assert f"over {limit.most:,} {limit.unit}" in found.detail
        assert all(name in found.detail for name in limit.parts)


@every_channel
def test_links_are_tracked_where_the_entry_says_so(channel: Channel) -> None:
    found = rendered(channel)
    assert isinstance(found, Rendered)
    for part in channel.parts:
        linked = "https://app.example.com/plans" in source(part)
        assert ("https://go.example/m/c/" in found.parts[part.name]) == (linked and part.has_links)


@every_channel
def test_the_unsubscribe_link_is_where_the_entry_says_so(channel: Channel) -> None:
    for purpose, wanted in (("marketing", channel.has_unsubscribe_link), ("transactional", False)):
        found = rendered(channel, purpose=purpose)
        assert isinstance(found, Rendered)
        assert ("List-Unsubscribe" in found.headers) == wanted
        for part in channel.parts:
            assert (UNSUBSCRIBE in found.parts[part.name]) == (wanted and part.has_links), part.name


@every_channel
def test_its_address_is_found_checked_and_stays_as_it_is_used(channel: Channel) -> None:
    stated, used, unusable = ADDRESSES[channel.address.kind]
    assert usable_address(channel.name, stated) == usable_address(channel.name, used) == used
    assert usable_address(channel.name, unusable) is None
    assert usable_address(channel.name, "") is None
    assert usable_address(channel.name, "x" * 100_000) is None
    for name in channel.address.traits:
        assert address_of({name: json.dumps(stated).encode()}, channel.name, "u:bob") == used
        assert address_of({name: json.dumps(unusable).encode()}, channel.name, "u:bob") is None
        assert address_of({name: b"17"}, channel.name, "u:bob") is None
    assert address_of({}, channel.name, "u:bob") == (None if channel.address.traits else "u:bob")


@every_channel
def test_the_first_usable_trait_is_taken(channel: Channel) -> None:
    stated, used, unusable = ADDRESSES[channel.address.kind]
    for last in range(1, len(channel.address.traits) + 1):
        *before, trait = channel.address.traits[:last]
        traits = {name: json.dumps(unusable).encode() for name in before}
        assert address_of(traits | {trait: json.dumps(stated).encode()}, channel.name, "u:bob") == used


@every_channel
def test_a_stop_holds_for_every_spelling_of_its_address_and_on_no_other_channel(channel: Channel) -> None:
    stated, used, _ = ADDRESSES[channel.address.kind]
    assert address_hash(channel.name, stated) == address_hash(channel.name, used)
    shouted = address_hash(channel.name, used.upper())
    if used.upper() != used:
        assert (shouted == address_hash(channel.name, used)) == channel.address.ignores_case
    assert len({address_hash(name, used) for name in CHANNELS}) == len(CHANNELS)


@every_channel
def test_attempts_begin_at_once_and_come_to_an_end(channel: Channel) -> None:
    first, *later = channel.retry_delays_s
    assert first == 0
    assert later == sorted(later)
    assert 3600 <= sum(later) <= 7 * 86_400


@every_channel
def test_what_passed_on_it_is_among_the_features_of_a_decision(channel: Channel) -> None:
    """They are logged by place, so a channel's names are appended to `NAMES` and stay there."""
    assert set(of_channel(channel.name)) <= set(NAMES), f"append *of_channel({channel.name!r}) to context.NAMES"


def test_the_places_of_logged_features_never_change() -> None:
    known = (Path(__file__).parents[2] / "golden" / "logged_features.txt").read_text().split()
    assert list(NAMES[: len(known)]) == known, "names are only ever appended: what is logged is read by place"


@every_channel
def test_somebody_carries_it(channel: Channel) -> None:
    carriers = [name for name, provider in PROVIDERS.items() if channel.name in provider.channels]
    assert "sink" in carriers
    assert len(carriers) > 1


@every_channel
async def test_its_template_is_stored_and_previewed_as_it_would_be_sent(channel: Channel, acme: Caller) -> None:
    await acme.ok("PUT", "/templates/hello", template(channel))
    shown = await acme.ok("POST", "/templates/hello/preview", {"traits": {"name": "Ada"}})
    assert tuple(shown["parts"]) == channel.part_names
    assert all("Ada" in shown["parts"][part.name] for part in channel.parts if not part.form)


@every_channel
async def test_a_provider_can_be_set_a_consent_stated_and_the_sink_asked(channel: Channel, acme: Caller) -> None:
    assert (await acme.ok("PUT", f"/channels/{channel.name}", {"provider": "sink"}))["channel"] == channel.name
    assert channel.name in {one["channel"] for one in (await acme.ok("GET", "/channels"))["data"]}
    assert (await acme.ok("GET", f"/sink/messages?channel={channel.name}"))["data"] == []
    status, code = await acme.problem("POST", "/users/nobody/consent", {"channel": channel.name, "granted": True})
    assert (status, code.endswith("not_found")) == (404, True)  # the channel was taken, only the user is not there


@every_channel
def test_the_sink_shows_a_message_and_no_script_in_it(channel: Channel) -> None:
    hostile = {part.name: "<script>alert(1)</script>" for part in channel.parts}
    one = msgspec.structs.replace(message("sms"), channel=channel.name, parts=hostile, headers={})
    html = render_message(one, target_of=target_of, now=NOW, site=Site("demo", ("demo",), "/sink"))
    check_markup(html)
    check_policy(html)
    assert "<script>alert(1)" not in html
    shown = [part for part in channel.parts if part.syntax != "html"]
    assert html.count("&lt;script&gt;alert(1)") >= len(shown)


@every_channel
def test_it_has_a_word_for_people(channel: Channel) -> None:
    assert channel_words(channel.name) == channel.noun
    assert channel_words("hologram") == "hologram"


@every_channel
def test_help_names_it(channel: Channel) -> None:
    for command in (["channel", "set"], ["user", "consent"]):
        shown = CliRunner().invoke(app, [*command, "--help"], env={"COLUMNS": "200"})
        assert re.search(rf"\b{channel.name}\b", shown.output), command


@every_channel
def test_its_address_parts_and_limits_are_documented(channel: Channel) -> None:
    parts = ", ".join(f"`{name}`" for name in channel.part_names)
    traits = " or ".join(f"`{name}`" for name in channel.address.traits)
    [row] = re.findall(rf"^\| `{channel.name}` \| (.*) \| {parts} \|$", page("delivery"), re.MULTILINE)
    assert row.startswith(f"trait {traits}" if traits else "the user")
    addresses = page("eligibility").partition("## Addresses")[2].partition("## ")[0]
    assert re.search(rf"^\| `{channel.name}` \| ", addresses, re.MULTILINE)
    [row] = re.findall(rf"^\| `{channel.name}` \| (.*) \|$", page("templates"), re.MULTILINE)
    assert all(f"`{name}`" in row for name in channel.part_names)
    limits = page("templates").partition("## Limits")[2].partition("## ")[0]
    assert all(f"| {limit.most:,} |" in limits for limit in channel.limits)


@every_channel
@pytest.mark.parametrize("name", ["campaigns", "templates", "features"])
def test_wherever_channels_are_listed_it_is_among_them(name: str, channel: Channel) -> None:
    lists = re.findall(r"`\w+`(?:, `\w+`)+ (?:or|and) `\w+`", page(name))
    of_channels = [written for written in lists if "`email`" in written and "`sms`" in written]
    assert of_channels
    assert all(f"`{channel.name}`" in written for written in of_channels)


def page(name: str) -> str:
    return (DOCS / f"{name}.md").read_text()


def test_an_entry_that_lies_fails_this_battery() -> None:
    """The battery can fail: an entry that promises links where none are tracked is noticed."""
    push = CHANNELS["push"]
    lying = replace(push, parts=tuple(replace(part, syntax="json") for part in push.parts))
    with pytest.raises(AssertionError):
        test_parts_fit_together(lying)

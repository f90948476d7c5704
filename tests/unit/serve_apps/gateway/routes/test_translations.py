"""Translators' documents over HTTP: JSON or XLIFF, out of what is live and into the draft."""

from __future__ import annotations

from tests.support.gateway_world import Caller
from whisperer.content import xliff

MAIL = {
    "channel": "email",
    "locales": {
        "en": {"subject": "Hi {{ user.name }}", "text": "Three tips"},
        "fr": {"subject": "Salut", "text": "Trois"},
    },
    "missing": "blank",
}
PATH = "/templates/tips/translations"


async def test_xliff_goes_out_and_comes_back_as_the_draft(acme: Caller) -> None:
    await acme.ok("PUT", "/templates/tips", MAIL)
    listed = await acme.ok("GET", PATH)
    assert (listed["source"], listed["languages"][1]) == ("en", {"locale": "fr", "missing": []})
    out = await acme("GET", f"{PATH}/de?format=xliff")
    assert out.headers["content-type"] == xliff.MEDIA_TYPE
    assert out.text == (await acme("GET", f"{PATH}/de", headers={"Accept": xliff.MEDIA_TYPE})).text
    document = xliff.read(out.content)
    assert document == await acme.ok("GET", f"{PATH}/de")
    document["texts"]["subject"]["target"] = "Hallo {{ user.name }}"
    document["texts"]["text"]["target"] = "Drei Tipps"
    sent = {"headers": {"Content-Type": xliff.MEDIA_TYPE}}
    made = await acme.ok("PUT", f"{PATH}/de", xliff.written(document).encode(), **sent)
    assert made["draft"]["content"]["locales"]["de"] == {"subject": "Hallo {{ user.name }}", "text": "Drei Tipps"}
    assert made["languages"][2] == {"locale": "de", "missing": []}
    assert (await acme.ok("GET", "/templates/tips"))["template"] == MAIL
    stale = await acme("PUT", f"{PATH}/de", document, headers={"If-Match": '"x"'})
    assert stale.status_code == 412


async def test_what_does_not_fit_is_refused(acme: Caller) -> None:
    await acme.ok("PUT", "/templates/tips", MAIL)
    document = await acme.ok("GET", f"{PATH}/de")
    assert (await acme("PUT", f"{PATH}/it", document)).json()["errors"][0]["pointer"] == "/target"
    assert (await acme("PUT", f"{PATH}/de", document | {"template": "other"})).json()["errors"][0][
        "pointer"
    ] == "/template"
    bad = await acme("PUT", f"{PATH}/de", b"<!DOCTYPE a>", headers={"Content-Type": xliff.MEDIA_TYPE})
    assert (bad.status_code, bad.json()["errors"][0]["code"]) == (422, "invalid_xliff")
    assert await acme.problem("PUT", f"{PATH}/de", b"<xliff/>") == (400, "malformed_json")
    document["texts"]["subject"]["target"] = "{{ user.secret }}"
    foreign = await acme("PUT", f"{PATH}/de", document)
    assert foreign.json()["errors"][0]["code"] == "foreign_variable"
    assert (await acme("GET", f"{PATH}/nonsense-")).status_code == 422

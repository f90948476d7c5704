from __future__ import annotations

import pytest

from serve_apps.gateway.pages.first_event import ADDRESS_PLACEHOLDER, KEY_PLACEHOLDER, snippets


def test_every_snippet_carries_the_address_and_the_key() -> None:
    found = snippets("https://events.example.com:8443/", "wk_1")
    assert [s.title for s in found] == ["curl", "Python", "JavaScript"]
    assert all("https://events.example.com:8443" in s.code and "wk_1" in s.code for s in found)
    assert "8443//" not in found[0].code


@pytest.mark.parametrize("address", ["http://[::1]:8000", "http://127.0.0.1:8000", "https://example.com/whisperer"])
def test_usual_addresses_are_kept(address: str) -> None:
    assert all(address in s.code for s in snippets(address, None))


@pytest.mark.parametrize(
    "address",
    ['http://x"; import os #', "http://x$(reboot)", "http://x`id`", "http://a b", "http://x'\n", "javascript:1", ""],
)
def test_an_address_that_could_break_out_of_the_code_is_not_shown(address: str) -> None:
    for snippet in snippets(address, "wk_1"):
        assert ADDRESS_PLACEHOLDER in snippet.code
        assert address == "" or address not in snippet.code


@pytest.mark.parametrize("key", [None, "", 'wk"', "wk_1; reboot", "wk\n"])
def test_without_a_usable_key_a_placeholder_stands_in(key: str | None) -> None:
    assert all(KEY_PLACEHOLDER in s.code for s in snippets("http://127.0.0.1:8000", key))


def test_the_python_snippet_is_python() -> None:
    compile(snippets("http://127.0.0.1:8000", "wk_1")[1].code, "snippet", "exec")

from __future__ import annotations

import pytest

from whisperer.content.lint.slots import slots


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ('{{ generated.lead | default: "Hello" }}', False),
        ('{{generated.lead|default:"Hello"}}', False),
        ('{{-  generated.lead   |   default: "Hello" -}}', False),
        ('{{ generated.lead\n| default: "Hello" }}', False),
        ("{{ generated.lead }}", True),
        ("{{generated.lead}}", True),
        ("{{ generated.lead | upcase }}", True),
        ("{{ generated.lead | defaults }}", True),
        ("{{ user.name }}", False),
    ],
)
def test_a_slot_has_words_of_its_own(text: str, is_found: bool) -> None:
    assert bool([*slots("en", {"html": text})]) == is_found

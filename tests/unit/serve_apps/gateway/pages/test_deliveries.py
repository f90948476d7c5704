from __future__ import annotations

import pytest

from serve_apps.gateway.pages.deliveries import Wanted, render_deliveries
from serve_apps.gateway.pages.documents import DeliveriesPage
from serve_apps.gateway.pages.site import Site
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import DECISION, deliveries
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, HUGE, Outline, check_markup, check_policy, words

SITE = Site("demo", ("demo",), "/deliveries")


def page(document: DeliveriesPage, wanted: Wanted = Wanted()) -> str:
    return render_deliveries(document, wanted=wanted, now=NOW, site=SITE)


def test_each_message_says_what_became_of_it_and_leads_to_its_decision() -> None:
    html = page(deliveries())
    dead = "ada dead email smtp Adopt a feature 9 every attempt failed the server answered 451 4.3.0 2 h ago"
    assert dead in words(html)
    assert "erased since accepted email smtp Adopt a feature 1 2 h ago" in words(html)
    links = Outline(html).links()
    assert f"/decisions/{DECISION}?tenant=demo" in links
    assert "/users/ada?tenant=demo" in links


def test_dead_letters_say_how_they_are_sent_again() -> None:
    assert "whisperer delivery replay" not in words(page(deliveries()))
    text = words(page(deliveries(), Wanted(status="dead", channel="email")))
    assert "whisperer delivery replay --all --channel email --tenant demo" in text


def test_older_ones_are_a_link_away_with_the_same_filters() -> None:
    html = page(deliveries(after=(1_767_225_600_000, "snd_1")), Wanted(status="dead", after="1767225700000.snd_9"))
    links = Outline(html).links()
    assert "/deliveries?tenant=demo&status=dead&after=1767225600000.snd_1" in links
    assert "/deliveries?tenant=demo&status=dead" in links
    assert "Older" not in words(page(deliveries()))


@pytest.mark.parametrize(
    ("after", "place"),
    [
        ("1767225600000.snd_1", (1_767_225_600_000, "snd_1")),
        ("", None),
        ("snd_1", None),
        ("1.snd_1'; DROP", None),
        ("9" * 16 + ".snd_1", None),
        ("-1.snd_1", None),
    ],
)
def test_a_place_written_by_hand_is_the_newest(after: str, place: tuple[int, str] | None) -> None:
    assert Wanted(after=after).place == place


def test_an_empty_list_says_whether_that_is_the_filters_doing() -> None:
    assert "Nothing sent yet." in words(page(DeliveriesPage([])))
    assert "No delivery like that. Show all" in words(page(DeliveriesPage([]), Wanted(channel="sms")))


@pytest.mark.parametrize("text", ["plain", HOSTILE, HUGE])
def test_the_page_is_sound_and_under_its_policy_whatever_it_shows(text: str) -> None:
    html = page(deliveries(text), Wanted(text, text, text, text))
    check_markup(html)
    check_policy(html)
    assert "<img src=x" not in html
    assert "data-refresh-every" not in html, "each look is a question to the warehouse"

"""Short links are kept once, and go with their user or their time."""

from __future__ import annotations

from cluster.control_plane import ControlPlane, ShortLink
from whisperer.ids import UserKey


def test_whoever_keeps_a_code_first_has_it(plane_url: str) -> None:
    plane = ControlPlane(plane_url)
    acme, globex = (plane.create_tenant(name).id for name in ("acme", "globex"))
    ada, bob = UserKey("u:ada"), UserKey("u:bob")
    version = plane.version()
    links = [ShortLink("a" * 12, acme, ada, "one", 1_000), ShortLink("b" * 12, acme, bob, "two", 2_000)]
    assert plane.keep_short_links(links, 0) == {"a" * 12: "one", "b" * 12: "two"}
    again = [ShortLink("a" * 12, globex, ada, "other", 9_000), ShortLink("c" * 12, globex, ada, "three", 9_000)]
    assert plane.keep_short_links(again, 0) == {"a" * 12: "one", "c" * 12: "three"}
    assert plane.version() == version, "shards need not look"
    plane.forget_short_links(acme, [ada])
    assert [plane.short_link(code * 12) for code in "abc"] == [None, "two", "three"]
    plane.keep_short_links([ShortLink("d" * 12, acme, ada, "four", 9_000)], 2_000)
    assert [plane.short_link(code * 12) for code in "bcd"] == [None, "three", "four"]
    plane.close()

from __future__ import annotations

from pathlib import Path

import pytest

from serve_apps.gateway import pages
from serve_apps.gateway.pages.static_files import address, static_file

FOLDER = Path(pages.__file__).parent / "static"


def test_every_file_of_the_folder_is_served_as_it_is() -> None:
    for path in FOLDER.iterdir():
        found = static_file(path.name)
        assert found is not None, path.name
        assert found[0] == path.read_bytes()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../home.py", "%2e%2e/home.py", "/etc/passwd", "HOME.CSS", "home.css\0"]
)
def test_nothing_else_exists(name: str) -> None:
    assert static_file(name) is None


def test_media_types_name_what_browsers_check_under_nosniff() -> None:
    types = {name: static_file(name)[1] for name in ("home.css", "home.js", "mark.svg")}  # type: ignore[index]
    assert types == {
        "home.css": "text/css; charset=utf-8",
        "home.js": "text/javascript; charset=utf-8",
        "mark.svg": "image/svg+xml",
    }


def test_the_link_changes_with_the_content() -> None:
    found = static_file("home.js")
    assert found is not None
    assert found[2].startswith('"')
    assert address("home.js") == f"/static/home.js?v={found[2].strip(chr(34))}"
    assert address("home.js") != address("home.css")

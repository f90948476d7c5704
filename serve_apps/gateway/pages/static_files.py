"""Serves the pages' own stylesheet, scripts and mark from memory.

Only files that were in the folder when the module was loaded exist; a name is looked up, never joined to a path, so no
name can leave the folder. The entity tag is the content's hash, and :func:`address` puts it into the link, so that a
browser may keep a file forever and still sees a new release at once.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

STATIC_PATH = "/static/"

_MEDIA_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def _load() -> dict[str, tuple[bytes, str, str]]:
    found = {}
    for entry in files(__package__).joinpath("static").iterdir():
        media_type = _MEDIA_TYPES.get(entry.name.rpartition(".")[2])
        if media_type is not None:
            content = entry.read_bytes()
            found[entry.name] = (content, media_type, f'"{hashlib.sha256(content).hexdigest()[:16]}"')
    return found


_FILES = _load()


def static_file(name: str) -> tuple[bytes, str, str] | None:
    """Return content, media type and quoted ETag of ``/static/<name>``, or None if there is no such file."""
    return _FILES.get(name)


def address(name: str) -> str:
    """Return the link to a file, with its version."""
    return f"{STATIC_PATH}{name}?v={_FILES[name][2][1:-1]}"

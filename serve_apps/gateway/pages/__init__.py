"""The pages: the loop live, what was sent, one user, one decision, one campaign, and how to send a first event.

`routes.install` serves them. Each `render_…` takes a plain document and leaves it to the caller to decide who may see
it.
"""

from serve_apps.gateway.pages.home import render_home
from serve_apps.gateway.pages.live_view import LiveView
from serve_apps.gateway.pages.rendering import PAGE_HEADERS
from serve_apps.gateway.pages.static_files import STATIC_PATH, static_file

__all__ = ["PAGE_HEADERS", "STATIC_PATH", "LiveView", "render_home", "static_file"]

"""The home page: what is running, live, and how to send a first event."""

from serve_apps.gateway.pages.home import PAGE_HEADERS, render_home
from serve_apps.gateway.pages.live_view import LiveView
from serve_apps.gateway.pages.static_files import STATIC_PATH, static_file

__all__ = ["PAGE_HEADERS", "STATIC_PATH", "LiveView", "render_home", "static_file"]

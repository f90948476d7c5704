"""The pages of signing in, in a browser without scripts, over the real application: they work, fit, and can be read."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyotp
import pytest
import uvicorn

from cluster.control_plane.transactions import now_ms
from tests.e2e.browser import Tab, chromium, find_chromium, tab
from tests.e2e.test_home_page import LOW_CONTRAST
from tests.support.gateway_world import World
from tests.support.people import PASSWORD, invite

pytestmark = pytest.mark.skipif(find_chromium() is None, reason="needs chromium (Debian: apt-get install chromium)")


@contextmanager
def serving(world: World) -> Iterator[str]:
    """The application on a loopback port."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(world.app, ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


def send(page: Tab, action: str, **fields: str) -> None:
    """Fill in the form with this action and press its button."""
    for name, value in fields.items():
        place = f'form[action="{action}"] [name="{name}"]'
        page.run(f"document.querySelector({json.dumps(place)}).value = {json.dumps(value)}")
    page.run(f"void document.querySelector('form[action=\"{action}\"] button').click()")
    page.reloaded()


def test_somebody_comes_in_by_an_invitation_and_sets_up_a_second_factor(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    world = World(tmp_path / "data", f"sqlite:///{tmp_path / 'data' / 'control.db'}")
    token = invite(world.plane, world.tenant("acme").id, "admin", "ada@example.com")
    seen = 0

    def looked(page: Tab) -> None:
        """What a page must hold in either width and colour."""
        nonlocal seen
        seen += 1
        assert page.run("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen"
        assert page.run(LOW_CONTRAST) == []
        assert page.run(
            "[...document.querySelectorAll('input:not([type=hidden], [hidden])')].every((i) => i.labels.length)"
        )
        page.screenshot(tmp_path / f"page-{seen}.png")

    with chromium(tmp_path / "profile") as devtools, tab(devtools) as page, serving(world) as url:
        page.look(width=390, dark=True, script=False)
        page.open(f"{url}/auth/invitation?token={token}")
        looked(page)
        send(page, "/auth/invitation", name="Ada", password="tooshort")
        assert "at least 10 bytes" in page.text(".trouble")
        looked(page)
        send(page, "/auth/invitation", name="Ada", password=PASSWORD)
        assert "member of acme" in page.text("main")
        page.look(width=1280, script=False)
        page.open(f"{url}/auth/sign-in")
        looked(page)
        send(page, "/auth/sign-in", email="ada@example.com", password="a wrong password")
        assert "no such account" in page.text(".trouble")
        send(page, "/auth/sign-in", email="ada@example.com", password=PASSWORD)
        assert "Your account" in page.text("h1")
        looked(page)
        send(page, "/auth/account/second-factor", password=PASSWORD)
        assert page.run("document.querySelector('.qr').naturalWidth > 100")
        looked(page)
        secret = page.text("code")
        totp, step = pyotp.TOTP(secret), now_ms() // 30_000
        send(page, "/auth/account/confirm-second-factor", code=totp.generate_otp(step))
        assert len(re.findall(r"(?:\w{4}-){3}\w{4}", page.text(".codes"))) == 10
        looked(page)
        page.open(f"{url}/auth/account")
        page.look(width=390, script=False)
        looked(page)
        send(page, "/auth/account/sign-out-everywhere")
        send(page, "/auth/sign-in", email="ada@example.com", password=PASSWORD)
        assert "Second factor" in page.text("h1")
        looked(page)
        send(page, "/auth/second-factor", code=totp.generate_otp(step + 1))
        assert "Your account" in page.text("h1")
        assert all(one.startswith((url, "data:")) for one in page.requests)
        assert [one for one in page.complaints if "400" not in one and "422" not in one] == []
    world.close()
    assert seen == 8

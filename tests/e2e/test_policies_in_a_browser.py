"""What a real browser makes of the security headers: the product's pages obey their policy, and other sites get nothing."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from serve_apps.gateway.http.cors import CrossOrigin
from tests.e2e.browser import Tab, chromium, find_chromium, tab
from tests.support.stand import Tenant

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(find_chromium() is None, reason="needs chromium (Debian: apt-get install chromium)"),
]


@pytest.fixture(scope="module")
def devtools(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chromium(tmp_path_factory.mktemp("chromium")) as url:
        yield url


@pytest.fixture
def page(devtools: str) -> Iterator[Tab]:
    with tab(devtools) as fresh:
        fresh.look()
        yield fresh


@contextmanager
def site(application: Any) -> Iterator[int]:
    """A server of an application; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application, ws="none", lifespan="off", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join(10)


async def blank(scope: Any, receive: Any, send: Any) -> None:
    """A page with no policy of its own, or an answer with something to steal."""
    kind, body = (
        (b"text/html", b"<!doctype html><p>blank") if scope["path"] == "/" else (b"application/json", b'"secret"')
    )
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    await send({"type": "http.response.body", "body": body})


def test_the_pages_obey_their_policy_behind_the_real_front_door(page: Tab, tenant: Tenant) -> None:
    assert tenant.post("track", {"userId": "ada", "event": "Looked"}).status_code == 200
    for path in ("/", "/sink", "/policies", "/users/ada", "/docs"):
        page.open(f"{tenant.stand.url}{path}?tenant={tenant.name}")
        assert page.complaints == [], path
        assert page.run("document.styleSheets.length") == 2, path
        assert page.run("getComputedStyle(document.querySelector('header.top')).display") != "block", path
    assert all(url.startswith((tenant.stand.url + "/", "data:")) for url in page.requests)


def test_the_reference_of_the_api_is_whole_without_a_script(page: Tab, tenant: Tenant) -> None:
    page.open(f"{tenant.stand.url}/docs")
    assert page.run("document.querySelectorAll('details.call').length") > 30
    page.run("document.querySelector('details.call summary').click()")
    assert page.run("document.querySelector('details.call').open")
    assert page.complaints == []


def test_a_script_that_found_its_way_into_a_page_does_not_run(page: Tab, tenant: Tenant) -> None:
    page.open(f"{tenant.stand.url}/docs")
    page.run(
        "(() => { const s = document.createElement('script'); s.textContent = 'window.owned = 1';"
        "document.body.append(s); document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.owned=2\">'); })()"
    )
    page.wait("document.images.length > 0")
    assert page.run("window.owned") is None
    assert any("Content Security Policy" in complaint for complaint in page.complaints)


def test_no_other_site_can_frame_a_page_or_an_answer(page: Tab, tenant: Tenant) -> None:
    with site(blank) as port:
        page.open(f"http://127.0.0.1:{port}/")
        for path in ("/docs", "/openapi.json"):
            page.complaints.clear()
            loaded = page.run(
                f"""new Promise((done) => {{
                  const frame = document.createElement('iframe');
                  frame.onload = () => done(frame.contentDocument === null);
                  frame.src = '{tenant.stand.url}{path}';
                  document.body.append(frame);
                }})"""
            )
            assert loaded
            assert any("frame-ancestors" in complaint for complaint in page.complaints), path


def fetched(page: Tab, url: str, options: str = "{}") -> Any:
    """What a script of the page gets from an address: the answer's text, or None if the browser keeps it."""
    return page.run(f"fetch('{url}', {options}).then((answer) => answer.text(), () => null)")


def test_another_sites_script_may_send_events_and_read_nothing(page: Tab, tenant: Tenant) -> None:
    with site(blank) as port:
        page.open(f"http://127.0.0.1:{port}/")
        key = f"{{headers: {{authorization: 'Bearer {tenant.secret_key}'}}}}"
        assert fetched(page, f"{tenant.stand.url}/v1/campaigns", key) is None
        assert fetched(page, f"{tenant.stand.url}/openapi.json") is None
        assert fetched(page, f"{tenant.stand.url}/internal/live") is None
        event = f'{{"writeKey": "{tenant.write_key}", "userId": "web", "event": "Seen"}}'
        assert fetched(page, f"{tenant.stand.url}/v1/t", f"{{method: 'POST', body: '{event}'}}") == '{"success":true}'
    assert tenant.user("web") is not None


def test_a_named_origin_reads_with_its_credentials_and_no_other_does(page: Tab, tmp_path: Path) -> None:
    with site(blank) as port:
        for allowed, expected in (
            (f"http://127.0.0.1:{port}", '"secret"'),
            ("https://app.example.com", None),
            ("*", None),
        ):
            with site(CrossOrigin(blank, frozenset({allowed}))) as api:
                page.open(f"http://127.0.0.1:{port}/")
                options = "{credentials: 'include', headers: {authorization: 'Bearer x'}}"
                assert fetched(page, f"http://127.0.0.1:{api}/v1/campaigns", options) == expected, allowed
                if allowed == "*":
                    assert fetched(page, f"http://127.0.0.1:{api}/v1/campaigns") == '"secret"'
                page.open(f"http://localhost:{port}/")
                assert fetched(page, f"http://127.0.0.1:{api}/v1/campaigns", options) is None

"""The delivery application without Ray: what the shards' handle would call, on a real control plane and sink."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from ray import serve

from cluster.control_plane import ControlPlane
from cluster.control_plane.keyring import make_key_file
from cluster.launch.installation import Installation
from cluster.settings import load
from serve_apps.delivery import app
from serve_apps.delivery.app import Delivery
from serve_apps.delivery.sink import Sink
from tests.support.provider_server import SETTINGS, Call, Fate, Says, serving
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict
from whisperer.delivery.providers import PROVIDERS


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return made(tmp_path)


def made(tmp_path: Path) -> Installation:
    settings = load(tmp_path)
    make_key_file(Path(settings.control_plane.key_file))
    installation = Installation(id="in_1", data_dir=str(tmp_path), operator_token="op_1", settings=settings)
    installation.save()
    return installation


@pytest.fixture(autouse=True)
def _as_in_a_replica(monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve gives a replica its name; it tells the directory, which is not here, how its accounts do."""

    async def untold(*_: object) -> None:
        """Nobody listens."""

    context = SimpleNamespace(replica_id=SimpleNamespace(unique_id="r1"))
    monkeypatch.setattr(serve, "get_replica_context", lambda: context)
    monkeypatch.setattr(app, "tell_forever", untold)


async def test_a_batch_goes_in_and_its_receipts_come_out(installation: Installation) -> None:
    assert installation.settings is not None
    with ControlPlane(installation.settings.control_plane.url, keyring=installation.keyring()) as plane:
        tenant = plane.create_tenant("acme").id
    application = Delivery.func_or_class(str(installation.path))  # type: ignore[attr-defined]
    batch = [dispatch(n, ["email", "sms", "push", "webhook"][n % 4], tenant=tenant) for n in range(8)]
    batch.append(dispatch(9, "sms", address="nobody", tenant=tenant))
    answers = [answer async for answer in application.dispatch(msgspec.msgpack.encode(batch))]
    receipts = [receipt for answer in answers for receipt in msgspec.msgpack.decode(answer, type=list[Receipt])]
    by_key = {receipt.send_key: receipt.status for receipt in receipts}
    assert len(receipts) == len(by_key) == len(batch)
    assert [by_key[each.send_key] for each in batch] == [Verdict.ACCEPTED] * 8 + [Verdict.REFUSED]
    reader = Sink(installation.sink_path)  # as the gateway's page opens it, beside the application
    assert {message.send_key for message in reader.messages(tenant)} == {each.send_key for each in batch[:8]}
    assert reader.counts(tenant).by_channel == {"email": 2, "sms": 2, "push": 2, "webhook": 2}
    reader.close()


async def test_channels_that_are_set_to_providers_over_http_reach_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a tenant sets is checked, sealed, read back by the application, and sent with."""
    monkeypatch.setenv("WHISPERER_DELIVERY_OPEN_NETWORKS", "127.0.0.0/8")
    installation = made(tmp_path)
    assert installation.settings is not None

    def answer(call: Call) -> Says | Fate:
        if call.target == "/token":
            return Says(200, '{"access_token": "ya29.x", "expires_in": 3600}')
        return Fate.DROPS if b"silent" in call.body else Says()

    batch: list[Dispatch] = []
    async with serving(answer) as server:
        with ControlPlane(installation.settings.control_plane.url, keyring=installation.keyring()) as plane:
            for number, (name, settings) in enumerate(SETTINGS.items()):
                tenant, channel = plane.create_tenant(f"t-{name}").id, PROVIDERS[name].channels[0]
                at = {"base_url": server.url} | ({"token_url": f"{server.url}/token"} if name == "fcm" else {})
                plane.set_channel(tenant, channel, name, settings() | at | {"resend_unknown": name == "twilio"})
                batch.append(dispatch(number, channel, tenant=tenant))
                silent = {part: "silent" for part in batch[-1].parts}
                batch.append(dispatch(number + 100, channel, tenant=tenant, parts=silent))
        application = Delivery.func_or_class(str(installation.path))  # type: ignore[attr-defined]
        answers = [answer async for answer in application.dispatch(msgspec.msgpack.encode(batch))]
        await application._deliveries._routing.aclose()
    receipts = [receipt for answer in answers for receipt in msgspec.msgpack.decode(answer, type=list[Receipt])]
    found = {receipt.send_key: (receipt.provider, receipt.status, receipt.repeatable) for receipt in receipts}
    for name, told, silent_one in zip(SETTINGS, batch[::2], batch[1::2], strict=True):
        assert found[told.send_key] == (name, Verdict.ACCEPTED, False)
        if name != "ses":  # whose body is in base64
            assert found[silent_one.send_key] == (name, Verdict.UNKNOWN, name == "twilio")

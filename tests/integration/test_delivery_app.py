"""The delivery application without Ray: what the shards' handle would call, on a real control plane and sink."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from cluster.control_plane import ControlPlane
from cluster.launch.installation import Installation
from cluster.settings import load
from serve_apps.delivery.app import Delivery
from serve_apps.delivery.sink import Sink
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.dispatch import Receipt, Verdict


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    made = Installation(id="in_1", data_dir=str(tmp_path), operator_token="op_1", settings=load(tmp_path))
    made.save()
    return made


async def test_a_batch_goes_in_and_its_receipts_come_out(installation: Installation) -> None:
    assert installation.settings is not None
    with ControlPlane(installation.settings.control_plane.url) as plane:
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

"""Keys for a gateway that starts while the control plane is away."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane, keys
from cluster.control_plane.key_records import KeyRecord
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.kept_keys import KeptKeys
from tests.support.gateway_world import OPERATOR, World
from tests.support.keyring import KEYRING
from tests.unit.serve_apps.gateway.http.test_access import is_healthy, is_refused, until, watching
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId

RECORD = KeyRecord("key_1", TenantId("tn_1"), "acme", "write")


async def nothing(_: object) -> None:
    return None


def away(folder: Path) -> ControlPlane:
    """A control plane whose file cannot be opened."""
    (folder / "folder.db").mkdir()
    return ControlPlane(f"sqlite:///{folder / 'folder.db'}", migrated=True, keyring=KEYRING)


async def test_a_gateway_that_starts_while_the_database_is_away_knows_the_keys_that_were_valid(
    world: World, tmp_path: Path
) -> None:
    kept = KeptKeys(tmp_path / "spool" / "keys")
    tenant = world.plane.create_tenant("acme")
    good, revoked = (world.plane.create_key(tenant.id, "write").key for _ in range(2))
    access = Access(world.plane, OPERATOR, 0.0, kept=kept)
    async with watching(access, nothing):
        await until(is_healthy(access))
        assert await access.find(revoked) is not None
        world.plane.revoke_key(revoked)
        await until(is_refused(access, revoked))
        new = world.plane.create_key(tenant.id, "secret").key
        version = world.plane.version()

        async def written() -> bool:
            return kept.version == version

        await until(written)
    path = tmp_path / "spool" / "keys"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(key.encode() not in path.read_bytes() for key in (good, revoked, new))

    with away(tmp_path) as plane:
        started = Access(plane, OPERATOR, 0.0, kept=KeptKeys(path))
        async with watching(started, nothing):
            await until(is_healthy(started))
            found = [await started.find(key) for key in (good, new)]
            assert [(one.tenant_id, one.kind) for one in found if one] == [(tenant.id, "write"), (tenant.id, "secret")]
            for key in (revoked, "wk_" + "x" * 43):  # it may have been made after the file was written
                with pytest.raises(UnavailableError):
                    await started.find(key)


async def test_without_a_file_a_gateway_that_starts_is_not_ready(tmp_path: Path) -> None:
    with away(tmp_path) as plane:
        access = Access(plane, OPERATOR, 0.0, kept=KeptKeys(tmp_path / "spool" / "keys"))
        async with watching(access, nothing):
            with pytest.raises(UnavailableError):
                await access.find("wk_" + "x" * 43)
            await asyncio.to_thread(lambda: None)
            assert not access.healthy


def test_an_older_version_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    KeptKeys(path).write(7, {"a": RECORD})
    KeptKeys(path).write(6, {})
    assert KeptKeys(path).version == 7
    assert KeptKeys(path).find("a") == RECORD
    mine = KeptKeys(path)
    assert mine.find("b") is None
    KeptKeys(path).write(8, {"b": RECORD})
    assert mine.find("b") == RECORD, "another replica's file is read"
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys"]


@pytest.mark.parametrize("content", [b"", b"\xff" * 100, b"\x92\x01\x01", b'{"version": 1}'])
def test_a_damaged_file_is_as_good_as_none_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys").write_bytes(content)
    kept = KeptKeys(tmp_path / "keys")
    assert (kept.version, kept.find("a")) == (-1, None)
    kept.write(1, {"a": RECORD})
    assert kept.find("a") == RECORD


def test_valid_keys_are_the_newest_and_none_is_revoked(plane_url: str) -> None:
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        plane.create_tenant("acme")
        made = [plane.create_key("acme", "write") for _ in range(4)]
        plane.revoke_key(made[3].id)
        version, found = plane.valid_keys(2)
        assert version == plane.version() == 6
        assert found == {keys.key_hash(one.key): plane.find_key(one.key) for one in made[1:3]}

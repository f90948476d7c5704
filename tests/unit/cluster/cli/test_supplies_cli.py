"""Catalogues and coupon pools at the command line, while nothing runs."""

from __future__ import annotations

from pathlib import Path

from cluster.cli.control import open_control_plane
from cluster.control_plane.coupons import Ask
from tests.unit.cluster.cli.test_cli import Cli, acme, cli
from whisperer.ids import known_key

__all__ = ["acme", "cli"]
OF = ("--tenant", "acme")


def test_a_catalogue_is_made_filled_from_files_shown_and_deleted(acme: Cli, tmp_path: Path) -> None:
    fields = tmp_path / "fields.json"
    fields.write_text('{"name": "products", "fields": {"name": "string", "price": "number"}}')
    assert acme.json("catalogue", "put", str(fields), *OF)["fields"] == {"name": "string", "price": "number"}
    table = tmp_path / "products.csv"
    table.write_text("id,name,price\n1,Hat,20\n2,Boots,80\n")
    assert acme.json("catalogue", "upload", "products", str(table), *OF)["n_items"] == 2
    wrong = acme("catalogue", "upload", "products", "-", *OF, stdin='{"id": "3"}\n{"id": "4", "price": "x"}\n')
    assert wrong.returncode != 0
    assert "line 2" in wrong.stderr
    lines = tmp_path / "products.jsonl"
    lines.write_text('{"id": "2", "name": "Boots"}\n')
    done = acme.json("catalogue", "upload", "products", str(lines), "--replace", *OF)
    assert (done["n_changed"], done["n_removed"]) == (1, 1)
    assert acme.json("catalogue", "list", *OF)[0]["n_items"] == 1
    assert acme.json("catalogue", "show", "products", *OF)["items"][0]["values"] == {"name": "Boots"}
    assert acme("catalogue", "delete", "products", "--item", "2", *OF).returncode == 0
    assert acme("catalogue", "show", "products", "--item", "2", *OF).returncode != 0
    assert acme("catalogue", "delete", "products", *OF).returncode == 0
    assert acme.json("catalogue", "list", *OF) == []


def test_a_coupon_pool_is_made_filled_and_says_who_got_what(acme: Cli, tmp_path: Path) -> None:
    acme.json("coupons", "put", "spring", "--description", "10 %", *OF)
    codes = tmp_path / "codes.txt"
    codes.write_text("A-1\nA-2\nA-1\n")
    assert acme.json("coupons", "upload", "spring", str(codes), *OF) == {"n_added": 2, "n_repeated": 1, "n_left": 2}
    with open_control_plane(acme.data_dir) as plane:
        tenant = plane.get_tenant("acme").id
        plane.give_codes(tenant, [Ask("spring", "welcome", known_key("ada"))], 1_790_000_000_000)
    (given,) = acme.json("coupons", "given", "spring", *OF)
    assert (given["code"], given["user_id"], given["campaign"]) == ("A-1", "ada", "welcome")
    assert acme.json("coupons", "list", *OF)[0]["n_left"] == 1
    assert acme("coupons", "upload", "spring", "-", *OF, stdin="<b>\n").returncode != 0
    assert acme("coupons", "delete", "spring", *OF).returncode == 0

"""Every setting: a default that works, one documented line with the same default, its unit, every way to set it, and a
refusal that names it.

A new field of `whisperer.settings` is tested here as it stands; it needs its commented line in cluster/settings.toml.
"""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster.settings import SECTIONS, SettingsError, load
from whisperer.settings import Settings

DOCUMENTED = (files("cluster") / "settings.toml").read_text("utf-8")
DEFAULTS: dict[str, dict[str, Any]] = msgspec.to_builtins(Settings())
UNITS = {
    "_s": "second", "_ms": "millisecond", "_h": "hour", "_days": "day", "_bytes": "byte", "_mib": "MiB", "_per_s": "second",
}  # fmt: skip
"""Ending of a number's name -> what its comment says."""
UNCHECKED = {
    *(
        f"cluster.cpu_{name}"
        for name in ("gateway", "shard", "directory", "learner", "decisions", "content", "delivery")
    ),
    *(f"cluster.{name}" for name in ("start_timeout_s", "drain_timeout_s", "serve_control_interval_s")),
    *(f"journal.{name}" for name in ("segment_bytes", "wait_replicas", "wait_timeout_s", "timeout_s", "patience_s")),
    *("snapshots.interval_s", "warehouse.flush_interval_s", "warehouse.compact_interval_s"),
    *("control_plane.poll_interval_ms", "limits.tenant_events_per_s", "limits.key_requests_per_s"),
    *(f"{name}.target_ongoing_requests" for name in ("gateway", "decisions", "content", "delivery")),
    *(f"gateway.{name}" for name in ("max_queued_events", "max_in_flight_bytes", "rejected_sample")),
    *(f"demo.{name}" for name in ("users", "events_per_s", "seed")),
}
"""Numbers of which one below zero is not refused yet. Not to grow."""

every_setting = pytest.mark.parametrize(
    ("section", "key"), [pytest.param(s, k, id=f"{s}.{k}") for s, keys in SECTIONS.items() for k in keys]
)


def read(folder: Path, text: str = "", **environment: str) -> Settings:
    (folder / "settings.toml").write_text(text)
    return load(folder, environment=environment)


def comment(section: str, key: str) -> str:
    """The lines above a setting's own, down to the one before."""
    part = re.split(r"^\[\w+\]$", DOCUMENTED, flags=re.MULTILINE)[1 + list(SECTIONS).index(section)]
    before = re.split(rf"^{key} = ", part, flags=re.MULTILINE)[0]
    lines: list[str] = []
    for line in reversed(before.splitlines()):
        if not line.startswith("#"):
            break
        lines.insert(0, line.removeprefix("#").strip())
    return " ".join(lines)


def written(value: object) -> str:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)


@every_setting
def test_it_has_a_default_that_is_in_force_and_in_the_file(section: str, key: str, tmp_path: Path) -> None:
    default = DEFAULTS[section][key]
    assert tomllib.loads(DOCUMENTED)[section][key] == default
    found = getattr(getattr(read(tmp_path), section), key)
    assert found == default or default == "", "only a place that is left open is filled in"


@every_setting
def test_its_line_says_what_it_is_for_in_plain_english(section: str, key: str) -> None:
    said = comment(section, key)
    assert len(said) >= 12
    assert said[-1] in ".,:"
    assert not re.search(r"\b(todo|tbd|xxx|misc|etc)\b", said, re.IGNORECASE)
    if SECTIONS[section][key] in (int, float):
        ending = next((ending for ending in sorted(UNITS, key=len, reverse=True) if key.endswith(ending)), None)
        if ending is not None:
            assert UNITS[ending].lower() in said.lower(), "its comment does not name the unit"


@every_setting
def test_it_is_of_a_type_that_a_file_and_a_variable_can_state(section: str, key: str) -> None:
    assert SECTIONS[section][key] in (int, float, bool, str)
    assert type(DEFAULTS[section][key]) is SECTIONS[section][key]
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", key)


@every_setting
def test_a_value_of_another_type_is_refused_by_name(section: str, key: str, tmp_path: Path) -> None:
    kind = SECTIONS[section][key]
    for wrong in {int: ("'x'", "1.5", "true", "[]"), float: ("'x'", "true"), bool: ("1", "'x'"), str: ("1", "{}")}[
        kind
    ]:
        with pytest.raises(SettingsError, match=rf"{section}\.{key} must be "):
            read(tmp_path, f"[{section}]\n{key} = {wrong}\n")
    if kind is not str:
        name = f"WHISPERER_{section}_{key}".upper()
        with pytest.raises(SettingsError, match=f"{name} must be "):
            read(tmp_path, **{name: "several"})


@every_setting
def test_the_default_may_be_written_down_in_the_file_and_the_environment(
    section: str, key: str, tmp_path: Path
) -> None:
    default = DEFAULTS[section][key]
    assert read(tmp_path, f"[{section}]\n{key} = {written(default)}\n") == read(tmp_path)
    assert read(tmp_path, **{f"WHISPERER_{section}_{key}".upper(): str(default)}) == read(tmp_path)


@every_setting
def test_a_slip_in_its_name_is_answered_with_the_name(section: str, key: str, tmp_path: Path) -> None:
    slip = f"{key}x"
    with pytest.raises(SettingsError, match=rf"unknown setting `{slip}` in \[{section}\]. Did you mean `\w+`\?"):
        read(tmp_path, f"[{section}]\n{slip} = 1\n")


@every_setting
def test_a_number_below_zero_is_refused_by_name(section: str, key: str, tmp_path: Path) -> None:
    if SECTIONS[section][key] not in (int, float) or f"{section}.{key}" in UNCHECKED:
        return
    with pytest.raises(SettingsError, match=rf"{section}\..*{key}"):
        read(tmp_path, f"[{section}]\n{key} = -1\n")


def test_what_is_not_checked_are_numbers_that_exist() -> None:
    numbers = {f"{s}.{k}" for s, keys in SECTIONS.items() for k, kind in keys.items() if kind in (int, float)}
    assert numbers >= UNCHECKED

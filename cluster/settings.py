"""Loads settings: one commented TOML with every default, overridden by the user's file and the environment.

Decides the order of precedence (command line, environment, remembered options, ``<data-dir>/settings.toml``, default)
and refuses unknown names, wrong types and impossible values with a message that says what to write instead.
``settings.toml`` next to this module is the documentation; types and defaults are those of :mod:`whisperer.settings`,
and a test keeps the two consistent.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, get_type_hints
from urllib.parse import urlsplit

import msgspec

from cluster.errors import SettingsError
from whisperer.events.kernels.placeholders import Placeholders
from whisperer.settings import Settings

ENV_PREFIX = "WHISPERER_"
USER_FILE = "settings.toml"
_WEB_PORTS = {"http": 80, "https": 443}


SECTIONS: dict[str, dict[str, type]] = {
    section: get_type_hints(struct) for section, struct in get_type_hints(Settings).items()
}


def load(
    data_dir: Path,
    *,
    remembered: Mapping[str, Any] | None = None,
    options: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
) -> Settings:
    """Return the settings in force for a data folder, with every empty location resolved to a place inside it.

    Parameters
    ----------
    remembered, options : values by ``"section.key"`` from an earlier and this command line
    environment : ``os.environ`` unless given

    Raises
    ------
    SettingsError
    """
    values: dict[str, Any] = msgspec.to_builtins(Settings())
    user_file = data_dir / USER_FILE
    if user_file.exists():
        _overlay(values, _parse(user_file), str(user_file))
    for name, value in (remembered or {}).items():
        section, key = name.split(".")
        if key in SECTIONS.get(section, {}):  # an option of an older release is ignored, not an error
            values[section][key] = value
    for name, text in sorted((os.environ if environment is None else environment).items()):
        if place := _env_place(name):
            section, key = place
            values[section][key] = _from_text(text, SECTIONS[section][key], name)
    for name, value in (options or {}).items():
        section, key = name.split(".")
        values[section][key] = value
    _resolve_places(values, data_dir.resolve())
    settings = msgspec.convert(values, Settings)
    _check(settings)
    return settings


def networks(text: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Parse networks or single addresses, separated by blanks or commas. Raises SettingsError.

    >>> networks("127.0.0.0/8, ::1")
    [IPv4Network('127.0.0.0/8'), IPv6Network('::1/128')]
    """
    found = []
    for word in text.replace(",", " ").split():
        try:
            found.append(ipaddress.ip_network(word))
        except ValueError:
            raise SettingsError(
                f"delivery.open_networks: {word!r} is no network; write one as 10.0.0.0/8, or one address as 10.1.2.3"
            ) from None
    return found


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid TOML: {error}") from None


def _overlay(values: dict[str, Any], user: dict[str, Any], where: str) -> None:
    for section, keys in user.items():
        if section not in SECTIONS:
            raise SettingsError(f"{where}: unknown section [{section}].{_near(section, SECTIONS)}")
        if not isinstance(keys, dict):
            raise SettingsError(f"{where}: `{section}` is a section; write [{section}] on a line of its own.")
        for key, value in keys.items():
            if key not in SECTIONS[section]:
                raise SettingsError(
                    f"{where}: unknown setting `{key}` in [{section}].{_near(key, SECTIONS[section], section)}"
                )
            kind = SECTIONS[section][key]
            try:
                values[section][key] = msgspec.convert(value, kind)
            except msgspec.ValidationError:
                raise SettingsError(f"{where}: {section}.{key} must be {_called(kind)}, not {value!r}.") from None


def _env_place(name: str) -> tuple[str, str] | None:
    """Return the (section, key) that an environment variable sets, or None if it is not a setting."""
    if not name.startswith(ENV_PREFIX):
        return None
    rest = name.removeprefix(ENV_PREFIX).lower()
    for section, keys in SECTIONS.items():
        if rest.startswith(section + "_"):
            key = rest.removeprefix(section + "_")
            if key in keys:
                return section, key
            raise SettingsError(f"environment variable {name}: unknown setting.{_near(key, keys, section)}")
    return None  # WHISPERER_INSTALLATION, and other people's names


def _from_text(text: str, kind: type, name: str) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError:
        raise SettingsError(f"environment variable {name} must be {_called(kind)}, not {text!r}.") from None


def _near(name: str, known: Mapping[str, Any], section: str | None = None) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f" Did you mean `{close[0]}`?"
    elsewhere = [f"[{s}] {name}" for s, keys in SECTIONS.items() if name in keys]
    if elsewhere:
        return f" It belongs under {elsewhere[0]}."
    return f" Known{f' in [{section}]' if section else ''}: {', '.join(known)}."


def _called(kind: type) -> str:
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}[kind]


def _resolve_places(values: dict[str, Any], data_dir: Path) -> None:
    values["journal"]["url"] = values["journal"]["url"] or (data_dir / "journal").as_uri()
    values["snapshots"]["uri"] = values["snapshots"]["uri"] or (data_dir / "snapshots").as_uri()
    values["warehouse"]["uri"] = values["warehouse"]["uri"] or (data_dir / "warehouse").as_uri()
    values["models"]["uri"] = values["models"]["uri"] or (data_dir / "models").as_uri()
    values["control_plane"]["url"] = values["control_plane"]["url"] or f"sqlite:///{data_dir / 'control.db'}"
    values["control_plane"]["key_file"] = values["control_plane"]["key_file"] or "control.key"
    server = values["server"]
    for section, keys in _FILES.items():
        for key in keys:
            values[section][key] = values[section][key] and str(data_dir / values[section][key])
    if not server["public_url"]:
        host = "127.0.0.1" if server["host"] in ("0.0.0.0", "::") else server["host"]  # noqa: S104  only compared
        scheme = "https" if server["tls_certificate"] else "http"
        server["public_url"] = f"{scheme}://{f'[{host}]' if ':' in host else host}:{server['port']}"


_FILES = {
    "server": ("tls_certificate", "tls_key"),
    "cluster": ("tls_certificate", "tls_key", "tls_authority"),
    "control_plane": ("key_file",),
}
"""Settings that are files, relative to the data folder."""

_AT_LEAST_ONE = (
    ("cluster", "shards"), ("cluster", "object_store_mib"), ("snapshots", "keep"), ("gateway", "min_replicas"),
    ("gateway", "max_ongoing_requests"), ("gateway", "coalesce_events"),
    ("decisions", "min_replicas"), ("content", "min_replicas"), ("delivery", "min_replicas"),
    ("decisions", "max_ongoing_requests"), ("content", "max_ongoing_requests"), ("delivery", "max_ongoing_requests"),
    ("limits", "address_connections"), ("dedup", "max_ids"), ("dedup", "window_h"),
    ("warehouse", "compact_files"), ("warehouse", "compact_below_bytes"),
    ("jobs", "memory_mib"), ("exports", "most_mib"), ("exports", "tenant_mib"),
)  # fmt: skip


def _check(settings: Settings) -> None:
    for section in settings.__struct_fields__:
        for key, value in msgspec.structs.asdict(getattr(settings, section)).items():
            if isinstance(value, (int, float)) and not 0 <= value < math.inf:
                raise SettingsError(f"{section}.{key} must be a number and must not be below 0: {value}.")
    for section, key in _AT_LEAST_ONE:
        value = getattr(getattr(settings, section), key)
        if value < 1:
            raise SettingsError(f"{section}.{key} must be at least 1, not {value}.")
    if settings.scoring.interval_s <= 0:
        raise SettingsError("scoring.interval_s must be above 0.")
    try:
        Placeholders.listed(settings.identity.placeholder_ids)
    except ValueError as error:
        raise SettingsError(f"identity.placeholder_ids: {error}.") from None
    try:
        proxies = trusted_proxies(settings.server.trusted_proxies)
    except ValueError as error:
        raise SettingsError(f"server.trusted_proxies must be addresses or networks: {error}.") from None
    if bool(settings.server.tls_certificate) != bool(settings.server.tls_key):
        raise SettingsError("server.tls_certificate and server.tls_key belong together: name both files, or neither.")
    if len({bool(getattr(settings.cluster, key)) for key in _FILES["cluster"]}) > 1:
        raise SettingsError(
            "cluster.tls_certificate, tls_key and tls_authority belong together: name all three files, or none."
        )
    try:
        origins(settings.server.cors_origins)
    except ValueError as error:
        raise SettingsError(f"server.cors_origins: {error}.") from None
    if settings.server.proxy_protocol and not proxies:
        raise SettingsError("server.proxy_protocol needs server.trusted_proxies: say from where it may come.")
    _check_database(settings.control_plane.url)
    limits = settings.limits
    if min(limits.body_timeout_s, limits.body_first_byte_s, limits.body_bytes_per_s) <= 0:
        raise SettingsError("limits.body_timeout_s, body_first_byte_s and body_bytes_per_s must be above 0.")
    networks(settings.delivery.open_networks)
    if settings.exports.keep_days <= 0:
        raise SettingsError("exports.keep_days must be above 0.")
    if settings.snapshots.retention_days <= 0:
        raise SettingsError("snapshots.retention_days must be above 0.")
    if not 1 <= settings.server.port <= 65_535:
        raise SettingsError(f"server.port must be between 1 and 65535, not {settings.server.port}.")
    for section in ("gateway", "decisions", "content", "delivery"):
        application = getattr(settings, section)
        if application.max_replicas < application.min_replicas:
            raise SettingsError(f"{section}.max_replicas must not be smaller than {section}.min_replicas.")
    reserved, available = reserved_cpus(settings), num_cpus(settings)
    if reserved > available:
        raise SettingsError(
            f"the cluster.cpu_* fractions of {settings.cluster.shards} shards and of the applications' replicas add "
            f"up to {reserved:.2f} CPUs, more than the {available} of cluster.num_cpus: lower the fractions or raise "
            "cluster.num_cpus."
        )


def origins(setting: str) -> frozenset[str]:
    """Return origins as browsers write them, `*` for any. Raises ValueError with the first that is none.

    >>> sorted(origins("https://App.example.com:443/, http://127.0.0.1:3000"))
    ['http://127.0.0.1:3000', 'https://app.example.com']
    """
    return frozenset(_origin(word) for word in setting.replace(",", " ").split())


def _origin(word: str) -> str:
    if word == "*":
        return word
    told = ValueError(f"{word!r} is no origin; write one as https://console.example.com, or * for all")
    try:
        parts = urlsplit(word)
        port = parts.port
    except ValueError:
        raise told from None
    host = parts.hostname
    if parts.scheme not in _WEB_PORTS or not host or parts.path.strip("/") or parts.query or "@" in parts.netloc:
        raise told
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + ("" if port in (None, _WEB_PORTS[parts.scheme]) else f":{port}")


_DATABASES = ("sqlite", "postgresql", "postgresql+psycopg")


def _check_database(url: str) -> None:
    """Check which database a URL names, without repeating it: it may hold a password."""
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in _DATABASES:
        named = f", not {scheme}://" if separator and scheme.replace("+", "").isalnum() else ""
        raise SettingsError(
            f"control_plane.url must begin with sqlite:/// or postgresql://{named}; an example is "
            "postgresql://whisperer@db.example.com:5432/whisperer."
        )


def without_password(url: str) -> str:
    """Return a URL as it may be shown: with its password, if it has one, hidden.

    >>> without_password("postgresql://ada:secret@db/x?password=secret&sslmode=require")
    'postgresql://ada:***@db/x?password=***&sslmode=require'
    """
    shown = re.sub(r"(?<=://)([^/@:?#]*):[^/?#]*@", r"\1:***@", url)
    return re.sub(r"(?i)((?:^|[?&])[a-z]*password=)[^&]*", r"\1***", shown)


def trusted_proxies(setting: str) -> list[str]:
    """Return addresses and networks, one per entry. Raises ValueError with the first invalid one."""
    return [str(ip_network(word)) for word in setting.replace(",", " ").split()]


def num_cpus(settings: Settings) -> int:
    """Return the CPUs that Ray is told to have: as set, or the machine's but at least 2."""
    return settings.cluster.num_cpus or max(2, os.cpu_count() or 2)


def reserved_cpus(settings: Settings) -> float:
    """Return the CPUs that the serving side reserves at its largest, without shards that live on other nodes."""
    cluster = settings.cluster
    shards = 0 if cluster.shards_on_workers else cluster.shards
    actors = shards * cluster.cpu_shard + cluster.cpu_directory + cluster.cpu_learner
    replicas = (
        settings.gateway.max_replicas * cluster.cpu_gateway
        + settings.decisions.max_replicas * cluster.cpu_decisions
        + settings.content.max_replicas * cluster.cpu_content
        + settings.delivery.max_replicas * cluster.cpu_delivery
    )
    return actors + replicas

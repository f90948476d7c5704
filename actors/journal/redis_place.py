"""Parse the URL of a Redis, with one or more hosts of a replication group; no text shows its password.

    redis://[user:password@]host[:port][,host[:port]...][/database][?prefix=NAME&ssl_ca_certs=FILE&...]

``rediss://`` is the same over TLS, with the certificate checked. Of several hosts, the current master is used. Also
defines how much is asked of that Redis (:class:`Rules`). Decides nothing about what is kept there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from whisperer.settings import JournalSettings

SCHEMES = ("redis", "rediss")
DEFAULT_PORT = 6379
DEFAULT_PREFIX = "whisperer"
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


@dataclass(frozen=True, slots=True)
class Rules:
    """When a group counts as durable, and how long its writer waits for a Redis that is away.

    Attributes
    ----------
    wait_replicas : replicas that must have a group before it is acknowledged
    wait_timeout_s : longest wait for them in one attempt
    timeout_s : longest wait for one answer
    patience_s : longest time over all attempts; then the journal is dead, and its shard dies and recovers
    require_fsync : refuse a server that answers before it has synced its append-only file
    """

    wait_replicas: int = 0
    wait_timeout_s: float = 1.0
    timeout_s: float = 5.0
    patience_s: float = 30.0
    require_fsync: bool = True

    @classmethod
    def of(cls, settings: JournalSettings) -> Rules:
        """Return the rules that an installation's settings ask for."""
        return cls(
            settings.wait_replicas,
            settings.wait_timeout_s,
            settings.timeout_s,
            settings.patience_s,
            settings.require_fsync,
        )


DEFAULT_RULES = Rules()


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """The parts of a URL. Its text (``str``, ``repr``) has neither user nor password.

    Attributes
    ----------
    prefix : begins every key, so that several installations can share a database
    options : TLS files, by redis-py's names
    """

    hosts: tuple[tuple[str, int], ...]
    database: int = 0
    prefix: str = DEFAULT_PREFIX
    is_tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, url: str) -> RedisPlace:
        """Parse a URL. Raises ValueError, which never quotes the URL's user and password."""
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError("a Redis URL begins with redis:// or rediss://")
        access, _, names = parts.netloc.rpartition("@")
        user, _, password = access.partition(":")
        hosts = tuple(_host(name) for name in names.split(","))
        database = parts.path.strip("/") or "0"
        if not database.isdigit():
            raise ValueError(f"a Redis URL ends with the number of a database, not {parts.path!r}")
        options = dict(parse_qsl(parts.query))
        prefix = options.pop("prefix", DEFAULT_PREFIX)
        if not prefix or set(prefix) & set("{}"):
            raise ValueError("the prefix of a Redis URL has at least one character, and no braces")
        if unknown := set(options) - set(_TLS_OPTIONS):
            known = ", ".join(("prefix", *_TLS_OPTIONS))
            raise ValueError(f"a Redis URL knows no option {', '.join(sorted(unknown))}; it knows {known}")
        return cls(
            hosts,
            int(database),
            prefix,
            parts.scheme == "rediss",
            unquote(user) or None,
            unquote(password) or None,
            options,
        )

    def connection(self, host: str, port: int) -> dict[str, Any]:
        """Return what redis-py needs to connect to one of the hosts."""
        tls = {"ssl": True, "ssl_check_hostname": True, **self.options} if self.is_tls else {}
        return {
            "host": host,
            "port": port,
            "db": self.database,
            "username": self.username,
            "password": self.password,
            **tls,
        }

    def __str__(self) -> str:
        hosts = ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)
        return f"redis{'s' * self.is_tls}://{hosts}/{self.database}?prefix={self.prefix}"


def _host(text: str) -> tuple[str, int]:
    name, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        name, port = text, str(DEFAULT_PORT)
    if not name or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is no host and port of a Redis")
    return name.removeprefix("[").removesuffix("]"), int(port)

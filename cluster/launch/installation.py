"""An installation: one data folder and everything that runs for it.

``<data-dir>/installation.json`` is the record that every process of the installation reads: ids, ports, addresses,
tokens and the settings in force. Only the launcher writes it, whole and atomically. It holds secrets, so the folder is
0700 and the file 0600.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from cluster.demo.access import DemoAccess
from cluster.errors import InstallationError, NotInstalledError
from cluster.launch.pids import INSTALLATION_ENV, Pid
from cluster.launch.ports import Ports
from cluster.private_files import write_private
from whisperer.settings import Settings

if TYPE_CHECKING:
    from cluster.control_plane.keyring import Keyring

RECORD_FILE = "installation.json"
RECORD_VERSION = 1
WITNESS_FILE = "audit-heads.jsonl"
"""Where this machine notes how far the audit logs have come."""
NAMESPACE = "whisperer"
HEAD_PROGRAMS = ("gcs_server", "raylet")
_LONGEST_TEMP_ROOT = 24  # Ray and HAProxy add up to 80 characters for their sockets; AF_UNIX allows 107


class Installation(msgspec.Struct, kw_only=True):
    """The record of an installation. Paths and URLs are absolute.

    Attributes
    ----------
    url : where the HTTP server answers others; :attr:`local_url` is for programs of the installation
    ray_address : ``127.0.0.1:<port>``, for ``ray.init(address=...)`` with :data:`NAMESPACE`
    operator_token : bearer token of the ``/internal/*`` endpoints
    link_secret : signs the links in messages; hex, made once
    gcs_namespace : prefix of Ray's keys in ``cluster.gcs_redis``; a new one at every start of a head
    ray_token_path : file with the token of Ray's own ports
    remembered : options of earlier command lines by ``"section.key"``
    head : Ray's two servers; the installation runs while both do
    simulator : the demo's event source, if it was started
    pids : all processes that were running when ``up`` finished
    """

    version: int = RECORD_VERSION
    id: str
    data_dir: str
    temp_dir: str = ""
    url: str = ""
    ray_address: str = ""
    namespace: str = NAMESPACE
    dashboard_url: str = ""
    ray_token_path: str = ""
    operator_token: str
    link_secret: str = ""
    gcs_namespace: str = ""
    ports: Ports | None = None
    settings: Settings | None = None
    remembered: dict[str, Any] = {}
    demo: DemoAccess | None = None
    head: list[Pid] = []
    simulator: Pid | None = None
    pids: list[Pid] = []

    @property
    def path(self) -> Path:
        return Path(self.data_dir) / RECORD_FILE

    @property
    def witness_path(self) -> Path:
        return Path(self.data_dir) / WITNESS_FILE

    def configured(self) -> tuple[Ports, Settings]:
        """Return ports and settings of the latest start. Raises NotInstalledError before the first one."""
        if self.ports is None or self.settings is None:
            raise NotInstalledError(f"the installation in {self.data_dir} was never started: run `whisperer up`")
        return self.ports, self.settings

    def keyring(self) -> Keyring:
        """Return the keys of the control plane's secrets. Raises InstallationError."""
        from cluster.control_plane.keyring import Keyring  # cryptography takes 0.1 s of CPU

        if self.settings is None:
            raise NotInstalledError(f"the installation in {self.data_dir} was never started: run `whisperer up`")
        return Keyring.of_file(Path(self.settings.control_plane.key_file))

    @property
    def sink_path(self) -> Path:
        """Where the built-in sink keeps the messages sent to it."""
        return Path(self.data_dir) / "sink.db"

    @property
    def attempts_path(self) -> Path:
        """Where the delivery application notes which attempts a provider may have."""
        return Path(self.data_dir) / "attempts.db"

    @property
    def public_url(self) -> str:
        """The address with which links in messages begin."""
        _, settings = self.configured()
        return (settings.server.public_url or self.url).rstrip("/")

    @property
    def local_url(self) -> str:
        """Where the HTTP server answers this installation's own programs: without TLS, from this machine only."""
        if self.ports is not None and self.settings is not None and self.settings.server.tls_certificate:
            return f"http://127.0.0.1:{self.ports.http_local}"
        return self.url

    @property
    def running(self) -> bool:
        """Whether both of the head's servers are alive."""
        return len(self.head) == len(HEAD_PROGRAMS) and all(pid.alive() for pid in self.head)

    @property
    def logs(self) -> Path:
        return Path(self.data_dir) / "logs"

    def save(self) -> None:
        """Write the record, whole and readable only by its owner."""
        write_private(self.path, msgspec.json.format(msgspec.json.encode(self), indent=2))

    def client_environment(self) -> dict[str, str]:
        """Return the environment that any process needs, before it imports Ray, to connect to this installation."""
        # Ray replaces 127.0.0.1 with the machine's own address unless told that there is only one machine; with the
        # loopback address kept, its servers bind to it and to nothing else.
        loopback = self.ray_address.startswith("127.")
        return {
            INSTALLATION_ENV: self.id,
            "RAY_ADDRESS": self.ray_address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": self.ray_token_path,
            **({"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"} if loopback else {}),
            **self._node_tls(),
            "RAY_USAGE_STATS_ENABLED": "0",
            "OMP_NUM_THREADS": "1",
        }

    def _node_tls(self) -> dict[str, str]:
        """Return what makes Ray's processes show certificates to one another and accept no others."""
        if self.settings is None or not self.settings.cluster.tls_certificate:
            return {}
        cluster = self.settings.cluster
        return {
            "RAY_USE_TLS": "1",
            "RAY_TLS_SERVER_CERT": cluster.tls_certificate,
            "RAY_TLS_SERVER_KEY": cluster.tls_key,
            "RAY_TLS_CA_CERT": cluster.tls_authority,
        }


def load(data_dir: Path) -> Installation:
    """Return the record of a data folder. Raises NotInstalledError and InstallationError."""
    path = data_dir / RECORD_FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Installation)
    except FileNotFoundError:
        raise NotInstalledError(
            f"there is no installation in {data_dir}: start one with `whisperer up --data-dir {data_dir}`, or name "
            "another folder"
        ) from None
    except msgspec.DecodeError as error:
        raise InstallationError(
            f"{path} cannot be read ({error}). Move it away and start again: journals and the database are kept."
        ) from None
    here = str(data_dir.resolve())
    if found.data_dir != here:
        if _id_in(Path(found.data_dir)) == found.id:
            _become_another(found)
        found.data_dir = here
    return found


def _id_in(data_dir: Path) -> str | None:
    try:
        record: dict[str, Any] = msgspec.json.decode((data_dir / RECORD_FILE).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    return record.get("id")


def _become_another(copy: Installation) -> None:
    """Give the record of a copied data folder an identity of its own: what runs belongs to the original folder."""
    copy.id, copy.operator_token = _new_id(), _new_operator_token()
    copy.link_secret = ""  # a new one is made at the next start: one installation's links mean nothing to another
    copy.temp_dir, copy.head, copy.pids, copy.simulator = "", [], [], None


def load_or_create(data_dir: Path) -> Installation:
    """Return the record of a data folder, or a new one (not saved) if there is none."""
    prepare_folder(data_dir)
    try:
        found = load(data_dir)
    except NotInstalledError:
        found = Installation(id=_new_id(), data_dir=str(data_dir.resolve()), operator_token=_new_operator_token())
    found.link_secret = found.link_secret or secrets.token_hex(32)
    found.ray_token_path = str(Path(found.data_dir) / "ray_token")
    if not Path(found.ray_token_path).exists():
        write_private(Path(found.ray_token_path), secrets.token_hex(32).encode())
    found.logs.mkdir(mode=0o700, exist_ok=True)
    return found


def _new_id() -> str:
    return secrets.token_hex(8)


def _new_operator_token() -> str:
    return "op_" + secrets.token_urlsafe(32)


def prepare_folder(data_dir: Path) -> None:
    """Create the data folder and make it private. Raises InstallationError."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        data_dir.chmod(0o700)
    except OSError as error:
        raise InstallationError(
            f"the data folder {data_dir} cannot be used: {error.strerror}. Name one you own with --data-dir."
        ) from None


def temp_root() -> Path:
    """Return where temporary folders go: the system's place if its name is short enough for sockets, else /tmp."""
    system = Path(tempfile.gettempdir())
    return system if len(str(system)) <= _LONGEST_TEMP_ROOT else Path("/tmp")  # noqa: S108  folders in it are 0700


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Hold the launcher's lock of a data folder. Raises InstallationError if another command holds it."""
    prepare_folder(data_dir)
    with open(os.open(data_dir / "launcher.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600), "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read().strip()
            raise InstallationError(
                f"another command (pid {holder or 'unknown'}) is starting or stopping the installation in {data_dir}; "
                "wait for it to finish"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest

from cluster import settings
from cluster.errors import SettingsError
from cluster.settings import SECTIONS, load
from whisperer.settings import Settings

DOCUMENTED = (files("cluster") / "settings.toml").read_text("utf-8")


def read(folder: Path, text: str = "", **kwargs):
    if text:
        (folder / "settings.toml").write_text(text)
    return load(folder, environment=kwargs.pop("environment", {}), **kwargs)


def test_every_setting_is_documented_with_its_default() -> None:
    documented = tomllib.loads(DOCUMENTED)
    assert {section: list(keys) for section, keys in documented.items()} == {s: list(k) for s, k in SECTIONS.items()}
    assert msgspec.convert(documented, Settings) == Settings()


def test_the_documented_file_may_be_used_as_it_is(tmp_path: Path) -> None:
    without = read(tmp_path)
    assert read(tmp_path, DOCUMENTED) == without


def test_every_setting_and_section_has_a_comment_above_it() -> None:
    previous = ""
    uncommented = []
    for line in DOCUMENTED.splitlines():
        if re.match(r"\w+ = ", line) and not previous.startswith("#"):
            uncommented.append(line)
        previous = line
    assert uncommented == []


@pytest.mark.parametrize(("section", "key"), [(s, k) for s, keys in SECTIONS.items() for k in keys])
def test_every_setting_can_be_changed_by_the_environment(tmp_path: Path, section: str, key: str) -> None:
    kind = SECTIONS[section][key]
    value = {int: 3, float: 0.5, str: "changed", bool: True}[kind]
    value = "10.0.0.0/8" if key in ("trusted_proxies", "open_networks") else value
    environment = {f"WHISPERER_{section}_{key}".upper(): str(value)}
    if key == "min_replicas":
        environment[f"WHISPERER_{section.upper()}_MAX_REPLICAS"] = "3"
    environment.setdefault("WHISPERER_CLUSTER_NUM_CPUS", "3")
    environment.setdefault("WHISPERER_SERVER_TRUSTED_PROXIES", "10.0.0.0/8")
    assert getattr(getattr(read(tmp_path, environment=environment), section), key) == value


def test_a_higher_place_wins_over_a_lower_one(tmp_path: Path) -> None:
    assert read(tmp_path).server.port == 8000
    text = "[server]\nport = 8001\n"
    assert read(tmp_path, text).server.port == 8001
    assert read(tmp_path, remembered={"server.port": 8002}).server.port == 8002
    environment = {"WHISPERER_SERVER_PORT": "8003"}
    assert read(tmp_path, remembered={"server.port": 8002}, environment=environment).server.port == 8003
    assert read(tmp_path, environment=environment, options={"server.port": 8004}).server.port == 8004


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sever]\nport = 1\n", "Did you mean `server`?"),
        ("[delivery]\nopen_networks = '10.0.0.1/8'\n", "'10.0.0.1/8' is no network"),
        ("[delivery]\nopen_networks = 'mail.internal'\n", "write one as 10.0.0.0/8"),
        ("[delivery]\nstop_timeout_s = -1\n", "must not be below 0"),
        ("[server]\nprot = 1\n", "Did you mean `port`?"),
        ("[server]\nshards = 3\n", "It belongs under [cluster] shards."),
        ("[server]\nzzzzz = 1\n", "Known in [server]: host, port, public_url, trusted_proxies, proxy_protocol."),
        ("server = 1\n", "write [server] on a line of its own"),
        ("[server]\nport = 'x'\n", "server.port must be a whole number, not 'x'"),
        ("[server]\nport = true\n", "server.port must be a whole number"),
        ("[server]\nport = 70000\n", "between 1 and 65535"),
        ("[cluster]\nshards = 0\n", "at least 1"),
        ("[cluster]\nshards = 40\nnum_cpus = 2\n", "lower the fractions or raise cluster.num_cpus"),
        ("[gateway]\nmin_replicas = 4\nmax_replicas = 2\n", "must not be smaller"),
        ("[server\n", "is not valid TOML"),
        ("[server]\ntrusted_proxies = 'nginx'\n", "must be addresses or networks: 'nginx'"),
        ("[server]\nproxy_protocol = true\n", "say from where it may come"),
        ("[limits]\nbody_bytes_per_s = 0\n", "must be above 0"),
    ],
)
def test_a_mistake_in_the_file_is_an_error_that_says_what_to_write(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WHISPERER_SERVER_PROT", "1", "Did you mean `port`?"),
        ("WHISPERER_SERVER_PORT", "http", "WHISPERER_SERVER_PORT must be a whole number, not 'http'"),
        ("WHISPERER_CONTROL_PLANE_ULR", "x", "Did you mean `url`?"),
    ],
)
def test_a_mistake_in_the_environment_is_an_error(tmp_path: Path, name: str, value: str, said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        read(tmp_path, environment={name: value})


def test_other_variables_of_the_environment_are_left_alone(tmp_path: Path) -> None:
    assert read(tmp_path, environment={"WHISPERER_INSTALLATION": "x", "PORT": "1", "WHISPERER_TEST_X": "1"})


def test_an_option_remembered_from_an_older_release_is_forgotten(tmp_path: Path) -> None:
    assert read(tmp_path, remembered={"server.gone": 1, "gone.port": 2}).server.port == 8000


def test_empty_places_lie_in_the_data_folder_and_given_ones_stay(tmp_path: Path) -> None:
    found = read(tmp_path, "[warehouse]\nuri = 's3://bucket/events'\n")
    assert found.journal.url == (tmp_path / "journal").as_uri()
    assert found.control_plane.url == f"sqlite:///{tmp_path}/control.db"
    assert found.warehouse.uri == "s3://bucket/events"


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")],
)
def test_the_public_address_follows_host_and_port(tmp_path: Path, host: str, url: str) -> None:
    assert read(tmp_path, environment={"WHISPERER_SERVER_HOST": host}).server.public_url == url


def test_the_default_set_up_reserves_at_most_one_cpu(tmp_path: Path) -> None:
    assert settings.reserved_cpus(read(tmp_path)) <= 1.0

from __future__ import annotations

import re
import tomllib
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import settings
from cluster.errors import SettingsError
from cluster.settings import SECTIONS, load, without_password
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
    value = "https://changed.example" if key == "cors_origins" else value
    value = "/changed" if key.startswith("tls_") or key == "key_file" else value
    value = "postgresql://changed/x" if (section, key) == ("control_plane", "url") else value
    environment = {f"WHISPERER_{section}_{key}".upper(): str(value)}
    if key.startswith("tls_"):  # they come together
        for other in (name for name in SECTIONS[section] if name.startswith("tls_")):
            environment.setdefault(f"WHISPERER_{section}_{other}".upper(), "/other")
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
        (
            "[server]\nzzzzz = 1\n",
            "Known in [server]: host, port, public_url, trusted_proxies, proxy_protocol, tls_certificate, tls_key, cors_origins.",
        ),
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


@pytest.mark.parametrize(
    "url", ["sqlite:////srv/c.db", "postgresql://u:p@h/d", "postgresql+psycopg://u@h/d?sslmode=require"]
)
def test_a_database_is_sqlite_or_postgresql(tmp_path: Path, url: str) -> None:
    assert read(tmp_path, environment={"WHISPERER_CONTROL_PLANE_URL": url}).control_plane.url == url


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/d",
        "postgresql+asyncpg://u:hunter2@h/d",
        "postgres://u:hunter2@h/d",
        "u:hunter2@h/d",
        "hunter2",
    ],
)
def test_another_database_is_refused_without_repeating_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"control_plane\.url must begin with sqlite:/// or postgresql://"
    ) as caught:
        read(tmp_path, environment={"WHISPERER_CONTROL_PLANE_URL": url})
    assert "hunter2" not in str(caught.value)


@given(st.text(st.characters(exclude_characters="@/?#", codec="ascii", exclude_categories=["Cc", "Zs"]), min_size=4))
def test_no_url_is_shown_with_its_password(password: str) -> None:
    urls = [
        f"postgresql://ada:{quote(password, safe='')}@h:1/d",
        f"postgresql://h/d?user=a&password={quote(password, safe='')}&x=y",
    ]
    for url in urls:
        shown = without_password(url)
        assert f":{quote(password, safe='')}@" not in shown
        assert f"={quote(password, safe='')}&" not in shown
        assert shown.count("***") >= 1
    assert without_password("postgresql://h:5432/d?sslmode=require") == "postgresql://h:5432/d?sslmode=require"

"""The list of what the product consists of is complete, valid, and says what is delivered."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from docs.make_licences import shipped_names
from tests.audit import ROOT, sbom

LOCK = """\
alpha==1.0
    # via user-whisperer
beta-two==2.0 ; python_full_version < '3'
beta-two==2.1 ; python_full_version >= '3'
gamma==1.0 ; sys_platform == 'nowhere'
"""


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return sbom.marked(sbom.installed(), shipped_names((ROOT / "requirements.lock").read_text()))


def test_it_is_valid_by_cyclonedx(document: dict[str, Any]) -> None:
    # `make audit` does this with all of it, which takes seconds.
    few = document["components"][:12]
    names = {component["bom-ref"] for component in few}
    assert sbom.invalid(document | {"components": few, "dependencies": [{"ref": name} for name in sorted(names)]}) == []
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    assert document["metadata"]["component"]["name"] == "user-whisperer"


def test_an_invalid_one_is_recognised(document: dict[str, Any]) -> None:
    assert sbom.invalid(document | {"components": [{"type": "a word that the schema lacks", "name": "alpha"}]})
    assert sbom.invalid(document | {"a word that the schema lacks": 1})


def test_packages_have_version_licence_address_and_scope(document: dict[str, Any]) -> None:
    components = {canonicalize_name(component["name"]): component for component in document["components"]}
    for name, scope in (("fastapi", "required"), ("starlette", "required"), ("pytest", "excluded")):
        assert components[name]["version"] == version(name)
        assert components[name]["purl"] == f"pkg:pypi/{name}@{version(name)}"
        assert components[name]["licenses"]
        assert components[name]["scope"] == scope


def test_an_environment_that_is_not_what_the_lock_pins_is_refused() -> None:
    def differing(**name_to_version: str) -> list[str]:
        components = [{"name": name, "version": version} for name, version in name_to_version.items()]
        return sbom.differences({"components": components}, LOCK)

    assert differing(alpha="1.0", Beta_Two="2.1", more="1") == []
    assert differing(alpha="1.1", Beta_Two="2.1") == ["alpha should be ==1.0, and is 1.1"]
    assert differing(alpha="1.0") == ["beta-two should be ==2.1, and is not installed"]

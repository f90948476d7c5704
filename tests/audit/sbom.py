"""Write what the product consists of as a CycloneDX document (SBOM): every package with version, licence and dependents.

cyclonedx-py reads the environment; the packages that only developers need get the scope `excluded`. Nothing is written
unless the environment is what the lock pins and the document is valid by CycloneDX's schema.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from docs.make_licences import shipped_names
from tests.audit import ROOT

SCHEMA = SchemaVersion.V1_6


def write(output: Path) -> int:
    """Write the document, and return 0; or print why not, and return 1."""
    lock = (ROOT / "requirements.lock").read_text()
    document = marked(installed(), shipped_names(lock))
    troubles = [*differences(document, lock), *invalid(document)]
    for trouble in troubles:
        print(f"sbom: {trouble}", file=sys.stderr)
    if troubles:
        return 1
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(document, indent=2) + "\n")
    scopes = [component["scope"] for component in document["components"]]
    print(
        f"sbom: {output}: {scopes.count('required')} packages that the product needs, {scopes.count('excluded')} that only "
        f"developers do; Python {platform.python_version()} on {sys.platform}."
    )
    return 0


def installed() -> dict[str, Any]:
    """Return the document that cyclonedx-py makes of this environment."""
    made = subprocess.run(
        [
            *(sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", str(ROOT / "pyproject.toml")),
            *("--spec-version", SCHEMA.to_version(), "--output-format", "JSON", "--output-reproducible"),
            *("--no-validate", sys.executable),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(made.stdout)
    return document


def marked(document: dict[str, Any], shipped: set[str]) -> dict[str, Any]:
    """Return the document with the scope of each component: `required`, or `excluded` from what is delivered."""
    components = [
        component | {"scope": "required" if canonicalize_name(component["name"]) in shipped else "excluded"}
        for component in document["components"]
    ]
    return document | {"components": components}


def differences(document: dict[str, Any], lock: str) -> list[str]:
    """Return how the packages of a document differ from what a lock pins for this system and Python."""
    name_to_version = {canonicalize_name(c["name"]): c.get("version") for c in document["components"]}
    pins = [Requirement(line) for line in lock.splitlines() if line and line[0] not in " #"]
    return [
        f"{pin.name} should be {pin.specifier}, and is {name_to_version.get(canonicalize_name(pin.name), 'not installed')}"
        for pin in pins
        if (pin.marker is None or pin.marker.evaluate())
        and str(pin.specifier) != f"=={name_to_version.get(canonicalize_name(pin.name))}"
    ]


def invalid(document: dict[str, Any]) -> list[str]:
    """Return what CycloneDX's schema has against a document."""
    error = JsonStrictValidator(SCHEMA).validate_str(json.dumps(document))
    return [f"not valid by CycloneDX {SCHEMA.to_version()}: {error}"] if error else []

"""The audits that `make audit` runs: `python -m tests.audit advisories|secrets|sbom`; each explains itself with --help.

They end with 0 if all is well and 1 if something was found. `advisories` ends with 3 if nothing could be checked, and with 4
if no service could be reached and the few advisories in tests/audit know of nothing bad.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.audit import ROOT


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.audit", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    audits = parser.add_subparsers(dest="audit", required=True)

    about = audits.add_parser("advisories", help="pinned versions with known vulnerabilities, by pip-audit")
    about.add_argument("--lock", type=Path, default=ROOT / "requirements.lock", help="file with the pins")
    where = about.add_mutually_exclusive_group()
    where.add_argument("--online", action="store_true", help="only ask the services; without them, nothing is checked")
    where.add_argument("--offline", action="store_true", help="only use tests/audit/advisories.json")

    found = audits.add_parser("secrets", help="keys and passwords in the repository, by detect-secrets")
    found.add_argument("files", type=Path, nargs="*", help="look only at these (default: all that git would commit)")
    found.add_argument("--update", action="store_true", help="take what is found into .secrets.baseline")

    listed = audits.add_parser("sbom", help="write what the product consists of, as a CycloneDX document")
    listed.add_argument("--output", type=Path, default=ROOT / "build" / "sbom.cdx.json")

    options = parser.parse_args(arguments)
    # Each loads its own libraries only: `secrets` runs at every commit.
    if options.audit == "advisories":
        from tests.audit import advisories

        return advisories.audit(options.lock, online=not options.offline, offline=not options.online)
    if options.audit == "secrets":
        from tests.audit import secrets

        if absent := [str(path) for path in options.files if not path.is_file()]:
            parser.error(f"there is no file {', '.join(absent)}")
        return secrets.update() if options.update else secrets.audit(options.files)
    from tests.audit import sbom

    return sbom.write(options.output)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The whole public files through HTTP with kill -9 of every shard actor on the way, compared with DuckDB; then down, up.

Prints rows, wall time, events per second and bytes a user, and every difference (there must be none).
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from tests.benchmarks import report
from tests.support import public_files
from tests.support.stand import running


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--rows", type=int, help="only the first rows of each file")
    parser.add_argument("--kills", type=int, default=1, help="how often each shard actor is killed in each data set")
    options = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder) / "data") as stand:
        tenants = {}
        for dataset in public_files.DATASETS:
            files = public_files.files_of(dataset, Path(folder), options.rows)
            users, end = public_files.expected(dataset, files)
            tenant = tenants[dataset.name] = (stand.tenant(dataset.name), users, end)
            done = public_files.import_files(tenant[0], dataset, files, options.kills)
            counts = tenant[0].counts()
            figures[dataset.name] = {
                "rows": sum(r["rows"] for r in done.reports),
                "skipped": [r["skipped"] for r in done.reports],
                "sent": sum(r["sent"] for r in done.reports),
                "events_accepted": counts["events_accepted"],
                "events_duplicate": counts["events_duplicate"],
                "users": counts["users"],
                "users_of_duckdb": len(users),
                "kills": len(done.kills),
                "seconds_to_serve_again": [round(s, 2) for s in done.kills],
                "import_s": round(done.seconds, 1),
                "events_per_s": round(sum(r["sent"] for r in done.reports) / done.seconds),
                "bytes_a_user": {name: round(size / counts["users"]) for name, size in counts["bytes"].items()},
                "differences": public_files.compare(tenant[0], users, end)[:20],
            }
        began = time.monotonic()
        stand.down()
        down_s = time.monotonic() - began
        began = time.monotonic()
        stand.up()
        figures["restart"] = {"down_s": round(down_s, 1), "up_s": round(time.monotonic() - began, 1)}
        for name, (tenant, users, end) in tenants.items():
            figures[name]["differences_after_restart"] = public_files.compare(tenant, users, end)[:20]
            tenant.close()
    report.publish("files", figures, options.json, durability="fdatasync before 2xx, file journal", shards=2)


if __name__ == "__main__":
    main()

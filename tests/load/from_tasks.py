"""Load from tasks of a Ray cluster: as many senders as asked for, wherever Ray places them.

python -m tests.load.from_tasks --url http://gateway:8000 --key wk_... --tasks 16 [--ray-address HOST:PORT]
"""

from __future__ import annotations

import os

import ray

from tests.load.driving import arguments, drive, tell


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument(
        "--ray-address", default=os.environ.get("RAY_ADDRESS"), help="of the cluster; without it one of its own here"
    )
    options = parser.parse_args()
    # Never "auto": it would find whichever cluster the machine happens to run.
    if options.ray_address:
        ray.init(address=options.ray_address, log_to_driver=False)
    else:
        ray.init(address="local", num_cpus=max(2, os.cpu_count() or 2), include_dashboard=False, log_to_driver=False)
    try:
        tell(drive(options))
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main()

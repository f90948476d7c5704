"""Load through a Ray Client connection: this process is no part of the cluster, its tasks run there.

python -m tests.load.from_client --ray-address ray://head:10001 --url http://gateway:8000 --key wk_... --tasks 16
"""

from __future__ import annotations

import ray

from tests.load.driving import arguments, drive, tell

SCHEME = "ray://"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--ray-address", required=True, help="of the Ray Client server: ray://HOST:PORT")
    options = parser.parse_args()
    if not options.ray_address.startswith(SCHEME):
        parser.error(f"--ray-address begins with {SCHEME}, not {options.ray_address!r}")
    with ray.init(address=options.ray_address, log_to_driver=False):
        tell(drive(options))


if __name__ == "__main__":
    main()

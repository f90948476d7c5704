"""A campaign over all users of the Starbucks file into the sink, with kill -9 on the way: every count, and one audit in full.

The file's history is imported; its waves of offers come again live, with the product's decision in place of the file's,
and so does what the users then spent. Seconds stand for days. ``differences`` lists what does not add up.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.benchmarks import report
from tests.support import starbucks_campaign, starbucks_people
from tests.support.stand import running


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--people", type=int, help="only the first persons of the file")
    parser.add_argument("--waves", type=int, default=6, help="of the file's six waves of offers")
    parser.add_argument("--window", type=int, default=120, help="seconds in which a purchase counts")
    options = parser.parse_args()
    if not starbucks_people.present():
        raise SystemExit("the Starbucks users are not here: ../shared is not part of the project")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder) / "data") as stand:
        tenant = stand.tenant("starbucks")
        figures = starbucks_campaign.run(
            tenant, Path(folder), n_people=options.people, n_waves=options.waves, window_s=options.window
        )
        tenant.close()
    report.publish(
        "campaign",
        figures,
        options.json,
        durability="fdatasync before 2xx, file journal",
        shards=2,
        channels="the built-in sink",
        window_s=options.window,
    )


if __name__ == "__main__":
    main()

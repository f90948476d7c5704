"""Quality scores: the demo's templates in every language, rank correlation with rated messages, and what a score costs.

The demo's mean has to be above 4.0 in every language, or this ends with an error. The floor of the cost is rendering.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

from scipy.stats import spearmanr

from cluster.demo.templates import demo_templates
from tests.benchmarks import report
from tests.benchmarks.screen import table
from whisperer.content.quality.score import score
from whisperer.content.quality.template_scores import scores_of
from whisperer.content.template import parse_template

LEAST = 4.0
RATED = Path(__file__).parents[1] / "unit" / "whisperer" / "content" / "quality" / "rated.json"


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--repeats", type=int, default=200, help="of each timing")
    options = parser.parse_args()
    demo = {name: body for name, body in demo_templates().items() if body["channel"] != "webhook"}
    found = {name: scores_of(parse_template(body)) for name, body in demo.items()}
    locales = [one.locale for one in next(iter(found.values())).locales]
    by_locale = {
        locale: {name: one.score or 0.0 for name, made in found.items() for one in made.locales if one.locale == locale}
        for locale in locales
    }
    rows = [(locale, *(f"{by_locale[locale][name]:.2f}" for name in demo), f"{fmean(by_locale[locale].values()):.2f}")
            for locale in locales]  # fmt: skip
    print(table(("locale", *demo, "mean"), rows))
    rated = json.loads(RATED.read_text(encoding="utf-8"))
    scores = [score(one["channel"], one["locale"], one["parts"]).score for one in rated]
    correlation = float(spearmanr([one["rating"] for one in rated], scores).statistic)
    print(f"rank correlation with {len(rated)} rated messages: {correlation:.3f}")
    mail = next(one for one in rated if one["channel"] == "email")
    cost = _milliseconds(lambda: score(mail["channel"], mail["locale"], mail["parts"]), options.repeats)
    template = parse_template({**demo["tips-email"], "locales": {"en": demo["tips-email"]["locales"]["en"]}})
    both = _milliseconds(lambda: scores_of(template), options.repeats)
    print(f"a plain mail is scored in {cost:.2f} ms; the demo's tips are rendered and scored in {both:.2f} ms")
    figures = {
        "by locale": by_locale,
        "means": {name: made.mean for name, made in found.items()},
        "rank correlation": correlation,
        "score, ms": cost,
        "render and score, ms": both,
    }
    report.publish("quality", figures, options.json, repeats=options.repeats, durability="none")
    low = [locale for locale in locales if fmean(by_locale[locale].values()) <= LEAST]
    if low:
        raise SystemExit(f"below {LEAST} in {', '.join(low)}")


def _milliseconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of a piece of work."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1_000)
    return median(times)


if __name__ == "__main__":
    main()

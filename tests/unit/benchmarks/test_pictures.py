"""Charts: what is drawn is where it belongs, and a panel without points is an error, not an empty picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from tests.benchmarks.pictures import HEIGHT, WIDTH, Line, Panel, short, svg, ticks

NAMESPACE = {"s": "http://www.w3.org/2000/svg"}
PANEL = Panel(
    "Cost <us>", "users", "us", [Line("a", [(1e5, 1.0), (1e6, 1.1), (1e7, 1.2)]), Line("b", [(1e5, 2.0)])], log_x=True
)


def test_points_of_a_logarithmic_axis_are_evenly_apart() -> None:
    root = ElementTree.fromstring(svg([PANEL]))
    xs = [float(circle.attrib["cx"]) for circle in root.findall(".//s:circle", NAMESPACE)][:3]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)


def test_a_larger_value_stands_higher_and_all_stay_inside() -> None:
    root = ElementTree.fromstring(svg([PANEL, PANEL], "note"))
    ys = [float(circle.attrib["cy"]) for circle in root.findall(".//s:circle", NAMESPACE)]
    assert ys[0] > ys[1] > ys[2] > ys[3] > 0
    assert max(ys) < HEIGHT
    assert root.attrib["width"] == str(2 * WIDTH)


def test_a_panel_without_points_is_refused() -> None:
    with pytest.raises(ValueError, match="no points"):
        svg([Panel("empty", "x", "y", [])])


@pytest.mark.parametrize(("top", "last"), [(0.9, 1.0), (7.3, 8.0), (10.0, 10.0), (430.0, 500.0)])
def test_ticks_are_round_and_reach_the_top(top: float, last: float) -> None:
    assert ticks(top)[0] == 0
    assert ticks(top)[-1] == pytest.approx(last)


def test_large_numbers_are_shortened() -> None:
    assert [short(x) for x in (250, 1_500, 10_000_000)] == ["250", "1.5 k", "10 M"]

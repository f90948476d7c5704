"""The page about segments is true: its examples parse, its code runs, its limits and codes are the product's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from whisperer.segments import PredicateError, describe, errors, limits, parse_json
from whisperer.segments.operators import TRAIT_OPERATORS

PAGE = (Path(__file__).parents[4] / "docs" / "segments.md").read_text()
JSON = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
CODE = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_first_example_reads_as_the_page_says() -> None:
    english = " ".join(PAGE.split("In English: ")[1].split("\n\n")[0].split())
    assert describe(parse_json(JSON[0])) + "." == english


@pytest.mark.parametrize("example", JSON)
def test_every_example_parses(example: str) -> None:
    parse_json(example)


@pytest.mark.parametrize("code", CODE)
def test_the_code_runs(code: str) -> None:
    exec(code, {})


def test_the_wrong_example_is_wrong_as_the_page_says() -> None:
    (wrong,) = re.findall(r"```json invalid\n(.*?)```", PAGE, re.DOTALL)
    with pytest.raises(PredicateError) as caught:
        parse_json(wrong)
    rows = re.findall(r"\| `(/all\S*)` \| `(\w+)` \| (.*?) \|", PAGE)
    for (pointer, code, message), error in zip(rows, caught.value.errors, strict=True):
        assert (pointer, code) == (error["pointer"], error["code"])
        assert error["message"].startswith(message.removesuffix("..."))


def test_every_operator_and_code_is_on_the_page() -> None:
    codes = re.findall(r"``(\w+)``", (errors.__doc__ or "").split("Codes:")[1])
    source = "".join(path.read_text() for path in Path(errors.__file__).parent.glob("*.py"))
    assert all(f"`{code}`" in PAGE for code in [*codes, *TRAIT_OPERATORS])
    assert all(f'"{code}"' in source for code in codes)


def test_the_limits_on_the_page_are_those_of_the_product() -> None:
    table = PAGE.split("## Limits")[1].split("##")[0]
    numbers = [int(n.replace(",", "")) for n in re.findall(r"\| ([\d,]+)(?: bits)? \|", table)]
    assert numbers == [
        limits.MAX_LEAVES,
        limits.MAX_DEPTH,
        limits.MAX_NODES,
        limits.MAX_NAME,
        limits.MAX_TEXT,
        limits.MAX_VALUES,
        limits.MAX_COUNT,
        limits.MAX_INT.bit_length(),
    ]

"""A document that MJML's compiler would take in silence is refused with line and column; npm's validator agrees."""

from __future__ import annotations

import random

import pytest

from tests.support import npm
from tests.unit.whisperer.content.mjml.corpus import INVALID, REFUSED_HERE, VALID, column
from whisperer.content.masking import masked
from whisperer.content.mjml.compile import compile_mjml
from whisperer.content.mjml.components import TAKES_LIQUID, components
from whisperer.content.mjml.reader import is_mjml

PACKAGES = ("mjml@4.18.0", "mjml-validator@4.18.0", "mjml-preset-core@4.18.0")
VALIDATE = """
const mjml2html = require('mjml'), questions = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(JSON.stringify(questions.map(source => {
  try { return mjml2html(source, {validationLevel: 'soft'}).errors.map(error => error.message) }
  catch (error) { return [String(error.message)] }
})))
"""
TABLE = """
const preset = require('mjml-preset-core'), core = preset.default || preset, table = {};
for (const one of core.components) table[one.componentName] = one.allowedAttributes || {};
const asked = Object.entries(core.dependencies).map(([name, children]) => [name, children.filter(c => typeof c == 'string')]);
console.log(JSON.stringify({attributes: table, children: Object.fromEntries(asked)}));
"""


def codes(source: str, locale: str = "en") -> list[str]:
    return [flaw.code for flaw in compile_mjml(masked(source), locale).flaws]


@pytest.mark.parametrize("name", VALID)
def test_a_good_document_compiles(name: str) -> None:
    assert codes(VALID[name]) == []
    assert codes(VALID[name], "he") == []


@pytest.mark.parametrize("name", [*INVALID, *REFUSED_HERE])
def test_a_bad_document_is_refused(name: str) -> None:
    source, code = {**INVALID, **REFUSED_HERE}[name]
    if code is None:
        assert not is_mjml(source), "it is plain HTML"
    else:
        assert code in codes(source)


def test_all_flaws_are_reported_in_order_with_line_and_column() -> None:
    source = """<mjml><mj-body><mj-section>
  <mj-column widht="50%">
    <mj-txt>Hi {{ user.name }}</mj-txt> {{ x }} <mj-text colour="red">ok</mj-text>
  </mj-column></mj-section></mj-body></mjml>"""
    flaws = compile_mjml(masked(source), "en").flaws
    assert [(flaw.line, flaw.column, flaw.code) for flaw in flaws] == [
        (2, 14, "unknown_attribute"),
        (3, 5, "unknown_element"),
        (3, 58, "unknown_attribute"),
    ]
    assert "did you mean width?" in flaws[0].message
    assert "did you mean mj-text?" in flaws[1].message
    assert flaws[0].sentence.startswith("line 2, column 14: ")


def test_liquid_between_elements_that_cannot_hold_it_is_refused() -> None:
    inside = "{% if a %}<mj-social-element name='x' href='y'>z</mj-social-element>{% endif %}"
    assert codes(column(f"<mj-social>{inside}</mj-social>")) == ["misplaced_liquid", "misplaced_liquid"]
    assert codes(column("<mj-text {% if a %}color='red'{% endif %}>x</mj-text>"))[0] == "misplaced_liquid"


def test_what_the_compiler_would_leave_out_is_refused() -> None:
    source = (
        '<mjml><mj-body>\n<mj-section><mj-column width="{{ user.width }}"></mj-column></mj-section></mj-body></mjml>'
    )
    (flaw,) = compile_mjml(masked(source), "en").flaws
    assert (flaw.code, flaw.line, flaw.column) == ("lost_content", 2, 24)


def test_a_value_with_liquid_is_not_held_to_its_type() -> None:
    assert codes(column('<mj-text color="{{ brand.colour }}" padding="{{ user.padding }}px">x</mj-text>')) == []


def test_npm_refuses_and_accepts_the_same_documents() -> None:
    folder = npm.installed(*PACKAGES)
    good, bad = list(VALID.values()), [source for source, _ in INVALID.values()]
    found = npm.answer(folder, VALIDATE, [*good, *bad])
    assert [errors for errors in found[: len(good)]] == [[] for _ in good]
    assert all(found[len(good) :])


def test_npm_judges_random_documents_the_same() -> None:
    folder = npm.installed(*PACKAGES)
    sources = [_random_document(random.Random(seed)) for seed in range(400)]
    theirs = [not errors for errors in npm.answer(folder, VALIDATE, sources)]
    ours = [not [code for code in codes(source) if code != "lost_content"] for source in sources]
    assert 40 < sum(ours) < 360, "some are good, some are bad"
    assert [source for source, one, other in zip(sources, ours, theirs, strict=True) if one != other] == []


def test_the_table_is_that_of_npm() -> None:
    theirs = npm.answer(npm.installed(*PACKAGES), TABLE, None)
    for name, component in components().items():
        if name in ("mjml", "mj-class", "mj-all", "mj-raw"):
            continue
        assert component.attributes == theirs["attributes"][name], name
        parents = {parent for parent, children in theirs["children"].items() if name in children}
        assert set(component.parents) == parents, name
    missing = set(theirs["attributes"]) - set(components())
    assert missing == {"mj-html-attributes"}
    assert set(components()["mj-raw"].parents) == TAKES_LIQUID


def _random_document(random_: random.Random) -> str:
    def element(name: str, depth: int) -> str:
        component = components()[name]
        attributes = random_.sample(sorted(component.attributes), min(len(component.attributes), random_.randint(0, 2)))
        if random_.random() < 0.02:
            attributes.append(random_.choice(sorted(components()["mj-image"].attributes)))
        written = "".join(
            f' {one}="{_value(random_, component.attributes.get(one, "string"))}"' for one in dict.fromkeys(attributes)
        )
        allowed = sorted(one.name for one in components().values() if name in one.parents)
        inside = "x" if component.content == "html" else ""
        if component.content == "elements" and depth < 5 and allowed:
            chosen = random_.choices(allowed, k=random_.randint(1, 2))
            if random_.random() < 0.03:
                chosen.append(random_.choice(["mj-text", "mj-column", "mj-section", "mj-button"]))
            inside = "".join(element(child, depth + 1) for child in chosen)
        return f"<{name}{written}>{inside}</{name}>"

    return f"<mjml>{element('mj-body', 1)}</mjml>"


def _value(random_: random.Random, kind: str) -> str:
    if kind.startswith("enum"):
        return random_.choice(
            [*[word for word in kind[5:-1].split(",") if word], *["nothing"] * (random_.random() < 0.05)]
        )
    if kind.startswith("unit"):
        return random_.choice(["10px", "0", "10px", "10px", *["ten"] * (random_.random() < 0.1)])
    return {"color": "#123456", "integer": "3", "boolean": "true"}.get(kind, "x")

"""Write translators' documents as XLIFF 2.0, and read them back from XLIFF 2.0 and 1.2.

One ``unit`` is one part of a template. Each piece of Liquid is a placeholder (``ph``) whose text is kept apart, so that
a tool shows it and nobody translates it; characters that XML cannot hold are ``cp``. What :func:`written` writes,
:func:`read` reads back byte for byte.

Guarantees of :func:`read`: documents of at most :data:`MAX_CHARS`, without a DTD or entities, and elements at most
:data:`MAX_DEPTH` deep; a placeholder that stands for nothing known is an error, never silently left out. A unit that is
not translated to its end counts as not translated. Leaves whether the texts are still those of the template to
:mod:`.translations`.

References
----------
OASIS XLIFF 2.0, 4.2 (structure), 4.7 (inline elements); OASIS XLIFF 1.2, 2.3 and 2.4.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from whisperer.content import limits
from whisperer.content.errors import TemplateError
from whisperer.errors import Problem

MEDIA_TYPE = "application/xliff+xml"
MAX_CHARS = 4_000_000
MAX_DEPTH = 20

_V2, _V1 = "{urn:oasis:names:tc:xliff:document:2.0}", "{urn:oasis:names:tc:xliff:document:1.2}"
_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_UNFIT = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def written(document: Mapping[str, Any]) -> str:
    """Return what :func:`whisperer.content.translations.exported` returns as XLIFF 2.0."""
    source, target = _attribute(document["source"]), _attribute(document["target"])
    units = "".join(_unit(part, pair["source"], pair["target"]) for part, pair in document["texts"].items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<xliff xmlns="{_V2[1:-1]}" version="2.0" srcLang={source} trgLang={target}>\n'
        f' <file id="template" original={_attribute(document["template"])}>\n{units} </file>\n</xliff>\n'
    )


def read(text: str | bytes) -> dict[str, Any]:
    """Return the document that :func:`whisperer.content.translations.imported` takes. Raises TemplateError."""
    if len(text) > MAX_CHARS:
        raise _error("too_long", f"a document of translations has at most {MAX_CHARS:,} characters")
    try:
        root = fromstring(text, forbid_dtd=True)
    except (DefusedXmlException, ParseError, ValueError, LookupError, RecursionError) as error:
        raise _error("invalid_xliff", f"this is no XLIFF: {str(error)[:200]}") from None
    if root.tag == f"{_V2}xliff":
        return _read_2(root)
    if root.tag == f"{_V1}xliff":
        return _read_1(root)
    raise _error("invalid_xliff", "this is neither XLIFF 2.0 nor 1.2")


def _unit(part: str, source: str, target: str) -> str:
    pieces = list(dict.fromkeys(_LIQUID.findall(source) + _LIQUID.findall(target)))
    data = {piece: f"d{number}" for number, piece in enumerate(pieces, 1)}
    kept = "".join(f'<data id="{id}" xml:space="preserve">{_text(piece)}</data>' for piece, id in data.items())
    kept = f"   <originalData>{kept}</originalData>\n" if kept else ""
    ids = _Ids()
    inner = f'    <source xml:space="preserve">{_inline(source, data, ids.of_source)}</source>\n'
    if target:
        inner += f'    <target xml:space="preserve">{_inline(target, data, ids.of_target)}</target>\n'
    state = "translated" if target else "initial"
    name = _attribute(part)
    return f'  <unit id={name} name={name}>\n{kept}   <segment state="{state}">\n{inner}   </segment>\n  </unit>\n'


class _Ids:
    """Give placeholders their ids: one in the target has that of its like in the source, as long as there is one."""

    def __init__(self) -> None:
        self._n = 0
        self._free: dict[str, list[int]] = {}

    def of_source(self, piece: str) -> int:
        self._n += 1
        self._free.setdefault(piece, []).append(self._n)
        return self._n

    def of_target(self, piece: str) -> int:
        if free := self._free.get(piece):
            return free.pop(0)
        self._n += 1
        return self._n


def _inline(text: str, data: Mapping[str, str], id_of: Any) -> str:
    made: list[str] = []
    at = 0
    for found in _LIQUID.finditer(text):
        piece = found[0]
        made.append(_text(text[at : found.start()]))
        shown = _attribute(_UNFIT.sub("\ufffd", piece))
        made.append(f'<ph id="{id_of(piece)}" dataRef="{data[piece]}" disp={shown} canCopy="yes" canDelete="yes"/>')
        at = found.end()
    return "".join((*made, _text(text[at:])))


def _text(text: str) -> str:
    pieces: list[str] = []
    at = 0
    for found in _UNFIT.finditer(text):
        pieces += (_escaped(text[at : found.start()]), f'<cp hex="{ord(found[0]):04X}"/>')
        at = found.end()
    return "".join((*pieces, _escaped(text[at:])))


def _attribute(text: str) -> str:
    written = _escaped(_UNFIT.sub("", text)).replace('"', "&quot;")
    return '"' + written.replace("\n", "&#10;").replace("\t", "&#9;") + '"'


def _escaped(text: str) -> str:
    """Return a text as XML; a carriage return, which a reader of XML would take for a line end, by its number."""
    return escape(text, quote=False).replace("\r", "&#13;")


def _read_2(root: Element) -> dict[str, Any]:
    file = _only(root, f"{_V2}file")
    texts: dict[str, dict[str, str]] = {}
    for unit in file.iter(f"{_V2}unit"):
        part = unit.get("id", "")
        data = {one.get("id", ""): _flat(one, {}, part) for one in unit.iter(f"{_V2}data")}
        sources, targets, is_whole = [], [], True
        for segment in unit:
            if segment.tag not in (f"{_V2}segment", f"{_V2}ignorable"):
                continue
            source, target = segment.find(f"{_V2}source"), segment.find(f"{_V2}target")
            said = _flat(source, data, part) if source is not None else ""
            meant = _flat(target, data, part) if target is not None else ""
            if segment.tag == f"{_V2}ignorable" and target is None:
                meant = said
            is_whole = is_whole and (bool(meant) or not said)
            sources.append(said)
            targets.append(meant)
        _add(texts, part, "".join(sources), "".join(targets) if is_whole else "")
    return _document(file.get("original"), root.get("srcLang"), root.get("trgLang"), texts)


def _read_1(root: Element) -> dict[str, Any]:
    file = _only(root, f"{_V1}file")
    texts: dict[str, dict[str, str]] = {}
    for unit in file.iter(f"{_V1}trans-unit"):
        part = unit.get("resname", "") or unit.get("id", "")
        source, target = unit.find(f"{_V1}source"), unit.find(f"{_V1}target")
        said = _flat(source, {}, part) if source is not None else ""
        meant = _flat(target, {}, part) if target is not None else ""
        is_done = target is not None and target.get("state") not in ("new", "needs-translation")
        _add(texts, part, said, meant if is_done else "")
    return _document(file.get("original"), file.get("source-language"), file.get("target-language"), texts)


def _flat(element: Element, data: Mapping[str, str], part: str) -> str:
    """Return the text of an element with what its placeholders stand for."""
    return "".join(_pieces(element, data, part, 0))


def _pieces(element: Element, data: Mapping[str, str], part: str, depth: int) -> Iterator[str]:
    if depth > MAX_DEPTH:
        raise _error("invalid_xliff", f"elements are more than {MAX_DEPTH} deep", part)
    yield element.text or ""
    for child in element:
        match child.tag.rpartition("}")[2]:
            case "cp":
                yield _character(child.get("hex", ""), part)
            case "ph" if child.get("dataRef") is not None:
                known = data.get(child.get("dataRef", ""))
                if known is None:
                    raise _error("lost_placeholder", f"nothing says what {child.get('dataRef', '')[:40]!r} is", part)
                yield known
            case "x" if child.get("equiv-text"):
                yield child.get("equiv-text", "")
            case "ph" | "it" | "bpt" | "ept" if child.text:  # of 1.2, where its text is inside
                yield from _pieces(child, data, part, depth + 1)
            case "mrk" | "g" | "pc" | "sub":
                yield from _pieces(child, data, part, depth + 1)
            case "sm" | "em":
                """A note's beginning or end."""
            case name:
                raise _error("lost_placeholder", f"an element {name[:40]!r} stands for nothing known", part)
        yield child.tail or ""


def _character(hex: str, part: str) -> str:
    if not re.fullmatch(r"[0-9A-Fa-f]{1,6}", hex) or int(hex, 16) > 0x10FFFF:
        raise _error("invalid_xliff", "a cp is no character", part)
    return chr(int(hex, 16))


def _add(texts: dict[str, dict[str, str]], part: str, source: str, target: str) -> None:
    if not part or part in texts or len(texts) >= limits.MAX_PROBLEMS:
        raise _error("invalid_xliff", "each unit has an id of its own, which is the name of a part", part)
    texts[part] = {"source": source, "target": target}


def _only(root: Element, tag: str) -> Element:
    found = root.findall(tag)
    if len(found) != 1:
        raise _error("invalid_xliff", f"a document has one file, this has {len(found)}")
    return found[0]


def _document(template: str | None, source: str | None, target: str | None, texts: dict[str, Any]) -> dict[str, Any]:
    return {"template": template or "", "source": source or "", "target": target or "", "texts": texts}


def _error(code: str, message: str, part: str = "") -> TemplateError:
    return TemplateError([Problem(pointer=f"/texts/{part[:60]}" if part else "", code=code, message=message)])

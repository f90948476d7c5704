"""MJML documents: good ones that use every element, and bad ones with the code of what is wrong."""

from __future__ import annotations


def document(body: str, head: str = "") -> str:
    return f"<mjml><mj-head>{head}</mj-head><mj-body>{body}</mj-body></mjml>"


def column(inside: str) -> str:
    return document(f"<mj-section><mj-column>{inside}</mj-column></mj-section>")


VALID = {
    "smallest": "<mjml><mj-body></mj-body></mjml>",
    "text": column("<mj-text>Hello</mj-text>"),
    "head": document(
        '<mj-section css-class="top"><mj-column><mj-text mj-class="big">Hello</mj-text></mj-column></mj-section>',
        "<mj-title>Title</mj-title><mj-preview>Preview</mj-preview>"
        '<mj-font name="Raleway" href="https://fonts.example/raleway" /><mj-breakpoint width="320px" />'
        '<mj-attributes><mj-all font-family="Arial" /><mj-class name="big" font-size="20px" />'
        '<mj-text color="#333333" /></mj-attributes>'
        '<mj-style>.top { color: red }</mj-style><mj-style inline="inline">.low { color: blue }</mj-style>',
    ),
    "button": column('<mj-button href="https://a.example/?a=1&amp;b=2" background-color="teal">Go</mj-button>'),
    "image": column('<mj-image src="https://a.example/a.png" alt="A" width="100px" fluid-on-mobile="true" />'),
    "divider and spacer": column('<mj-divider border-width="1px" /><mj-spacer height="20px" />'),
    "table": column('<mj-table cellpadding="4"><tr><td>One</td><td>Two</td></tr></mj-table>'),
    "raw": document("<mj-raw><div>Raw</div></mj-raw>"),
    "wrapper, group": document(
        '<mj-wrapper padding="10px 20px" gap="5px"><mj-section full-width="full-width" direction="rtl"><mj-group>'
        '<mj-column width="50%"><mj-text>A</mj-text></mj-column><mj-column width="50%"><mj-text>B</mj-text></mj-column>'
        "</mj-group></mj-section></mj-wrapper>"
    ),
    "hero": document(
        '<mj-hero mode="fixed-height" height="469px" background-url="https://a.example/b.jpg">'
        "<mj-text>In the hero</mj-text></mj-hero>"
    ),
    "social": column(
        '<mj-social mode="horizontal" icon-size="30px"><mj-social-element name="github" href="https://a.example/g">'
        "Code</mj-social-element></mj-social>"
    ),
    "navbar": column(
        '<mj-navbar base-url="https://a.example"><mj-navbar-link href="/one">One</mj-navbar-link></mj-navbar>'
    ),
    "accordion": column(
        '<mj-accordion border="none"><mj-accordion-element><mj-accordion-title>Why</mj-accordion-title>'
        "<mj-accordion-text>Because</mj-accordion-text></mj-accordion-element></mj-accordion>"
    ),
    "carousel": column(
        '<mj-carousel thumbnails="hidden"><mj-carousel-image src="https://a.example/1.png" /></mj-carousel>'
    ),
    "html that is not xml": column("<mj-text><p>a<br>b <img src=x.png alt=x> &nbsp; 3 &gt; 2</mj-text>"),
    "comments": "<!-- a --><mjml><!-- b --><mj-body><!-- c --><mj-section></mj-section></mj-body></mjml>",
    "negative spacing": column('<mj-text letter-spacing="-1px" line-height="1.5">Tight</mj-text>'),
    "colours": column('<mj-text color="rgba(0, 0, 0, 0.5)" container-background-color="#FFF">Tint</mj-text>'),
}

INVALID = {
    "an unknown element": (column("<mj-txt>Hi</mj-txt>"), "unknown_element"),
    "html outside of a component": (column("<p>Hi</p>"), "unknown_element"),
    "an unknown attribute": (column('<mj-text colour="red">Hi</mj-text>'), "unknown_attribute"),
    "an attribute of another element": (column('<mj-text href="https://a.example">Hi</mj-text>'), "unknown_attribute"),
    "text in the body": (document("<mj-text>Hi</mj-text>"), "misplaced_element"),
    "a column in a column": (column("<mj-column></mj-column>"), "misplaced_element"),
    "a section in a section": (document("<mj-section><mj-section></mj-section></mj-section>"), "misplaced_element"),
    "a column in the body": (document("<mj-column></mj-column>"), "misplaced_element"),
    "a head in the body": (document("<mj-head></mj-head>"), "misplaced_element"),
    "a button in a section": (document("<mj-section><mj-button>Go</mj-button></mj-section>"), "misplaced_element"),
    "a wrapper in a wrapper": (document("<mj-wrapper><mj-wrapper></mj-wrapper></mj-wrapper>"), "misplaced_element"),
    "an attribute of defaults that is unknown": (
        document("", '<mj-attributes><mj-text colour="red" /></mj-attributes>'),
        "unknown_attribute",
    ),
    "a width without a unit": (
        document('<mj-section><mj-column width="50"></mj-column></mj-section>'),
        "invalid_value",
    ),
    "a colour that is none": (column('<mj-text color="reddish">Hi</mj-text>'), "invalid_value"),
    "a word that is not one of those": (column('<mj-text align="middle">Hi</mj-text>'), "invalid_value"),
    "five paddings": (column('<mj-text padding="1px 2px 3px 4px 5px">Hi</mj-text>'), "invalid_value"),
}
"""Refused by npm's validator as well."""

REFUSED_HERE = {
    "an include": (document('<mj-include path="./header.mjml" />'), "include_refused"),
    "attributes of html": (document("", "<mj-html-attributes></mj-html-attributes>"), "not_supported"),
    "a second body": ("<mjml><mj-body></mj-body><mj-body></mj-body></mjml>", "misplaced_element"),
    "no body": ("<mjml><mj-head></mj-head></mjml>", "missing_element"),
    "text between components": (column("Hi"), "stray_text"),
    "an attribute twice": (column('<mj-text color="red" color="blue">Hi</mj-text>'), "repeated_attribute"),
    "an unknown attribute of the root": ('<mjml theme="x"><mj-body></mj-body></mjml>', "unknown_attribute"),
    "an element that is never closed": ("<mjml><mj-body><mj-section></mj-body></mjml>", "syntax_error"),
    "a text that is never closed": ("<mjml><mj-body><mj-section><mj-column><mj-text>Hi", "syntax_error"),
    "a tag that is never closed": ("<mjml><mj-body><mj-section", "syntax_error"),
    "something after the end": ("<mjml><mj-body></mj-body></mjml><p>", "syntax_error"),
    "a comment that is never closed": ("<mjml><mj-body><!-- ", "syntax_error"),
    "CDATA": ("<mjml><mj-body><![CDATA[ x ]]></mj-body></mjml>", "syntax_error"),
    "an entity declared": ('<!DOCTYPE mjml [<!ENTITY a "b">]><mjml><mj-body></mj-body></mjml>', None),
    "nested too deep": ("<mjml><mj-body>" + "<mj-section>" * 50, "too_many"),
    "too many": ("<mjml><mj-body>" + "<mj-section/>" * 5_000 + "</mj-body></mjml>", "too_many"),
}
"""Refused here alone: npm's compiler passes over them, or repairs them."""

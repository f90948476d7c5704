"""Build the JSON Schema (2020-12) of a template's JSON, for OpenAPI, editors and clients' own checks.

Everything that the parser accepts is valid under it; the parser refuses more: texts that do not compile, tags that are
not locales, a default locale that is missing, lone surrogates.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from whisperer.content import limits
from whisperer.content.blocks import BLOCK, STANDS_FOR
from whisperer.content.template import DEFAULT_LOCALE, POLICIES, REFUSE
from whisperer.vocabulary.channels import CHANNELS, Channel


def template_json_schema() -> dict[str, Any]:
    """Return the schema as a new dict."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Template",
        "type": "object",
        "properties": {
            "channel": {"enum": [*CHANNELS, BLOCK]},
            "default_locale": {"type": "string", "default": DEFAULT_LOCALE, "description": "one of locales"},
            "locales": {
                "type": "object",
                "description": "BCP 47 tag -> the parts of the message in Liquid",
                "minProperties": 1,
                "maxProperties": limits.MAX_LOCALES,
            },
            "missing": {
                "enum": list(POLICIES),
                "default": REFUSE,
                "description": "a variable that is not there: send nothing, or write nothing for it",
            },
            "smart_encoding": {
                "type": "boolean",
                "default": False,
                "description": "of an SMS: plain characters for typographic ones, where it then fits the GSM alphabet",
            },
            "defaults": {
                "type": "object",
                "description": "trait -> what stands for it where it is absent or blank",
                "maxProperties": limits.MAX_DEFAULTS,
                "propertyNames": {"minLength": 1, "maxLength": limits.MAX_NAME},
                "additionalProperties": {
                    "anyOf": [
                        {"type": "string", "maxLength": limits.MAX_DEFAULT_CHARS},
                        {"type": "number"},
                        {"type": "boolean"},
                    ]
                },
            },
        },
        "required": ["channel", "locales"],
        "additionalProperties": False,
        "allOf": [*(_rule(channel) for channel in CHANNELS.values()), _rule(_block_shape())],
        "examples": [
            {
                "channel": "email",
                "default_locale": "en",
                "locales": {
                    "en": {"subject": "Hello {{ user.name }}", "html": "<p>Hello {{ user.name }}</p>"},
                    "de": {"subject": "Hallo {{ user.name }}", "html": "<p>Hallo {{ user.name }}</p>"},
                },
                "missing": "refuse",
                "defaults": {"name": "there"},
            }
        ],
    }


def _block_shape() -> Channel:
    """Return what a block may have: the parts of a mail that people read in it, one of them at least."""
    mail = CHANNELS[STANDS_FOR]
    return replace(mail, name=BLOCK, parts=tuple(part for part in mail.parts if part.is_alternative))  # type: ignore[arg-type]


def _rule(channel: Channel) -> dict[str, Any]:
    """Return the rule on which parts a message on this channel has."""
    texts = {
        part.name: {"type": "string", "minLength": 1, "maxLength": part.max_template_chars} for part in channel.parts
    }
    parts: dict[str, Any] = {
        "type": "object",
        "properties": texts,
        "additionalProperties": False,
        "required": list(channel.needed),
    }
    if channel.alternatives:
        parts["anyOf"] = [{"required": [name]} for name in channel.alternatives]
    return {
        "if": {"properties": {"channel": {"const": channel.name}}, "required": ["channel"]},
        "then": {"properties": {"locales": {"additionalProperties": parts}}},
    }

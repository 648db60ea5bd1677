"""Codes and parameters to sentences.

Parameters are written by the language's own rules (CLDR, through babel): numbers, days, moments, plurals, and money
where a text asks for ``{amount}`` and the parameters hold ``amount_minor`` and ``currency``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal

from edurise.money import decimals

FALLBACK = "en"
# Longer headers are not sent by any browser; reading only so far bounds the cost of a hostile one.
LONGEST_HEADER = 500
_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Catalogue:
    """The texts of one language. A text is a sentence, or plural forms with ``by``, the counted parameter."""

    locale: Locale
    codes: Mapping[str, str | Mapping[str, str]]
    notifications: Mapping[str, Mapping[str, str]]


@cache
def languages() -> tuple[str, ...]:
    """The languages that have a catalogue; the fallback comes first."""
    found = sorted(path.stem for path in _FOLDER.glob("*.toml"))
    return (FALLBACK, *(one for one in found if one != FALLBACK))


@cache
def catalogue(language: str) -> Catalogue:
    """The catalogue of one of ``languages()``."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        found = tomllib.load(file)
    return Catalogue(Locale.parse(language), found["codes"], found["notifications"])


def has_text(code: str) -> bool:
    """Whether the fallback language has a sentence for the code."""
    return code in catalogue(FALLBACK).codes


def text(code: str, language: str = FALLBACK, params: Mapping[str, object] | None = None) -> str:
    """The sentence for a code. What a language lacks is taken from the fallback; an unknown code is its own text.

    A parameter named ``reason`` may be a code itself and is then written as its sentence.
    """
    found = _known(language)
    sentence = found.codes.get(code)
    if sentence is None:
        found = catalogue(FALLBACK)
        sentence = found.codes.get(code)
    if sentence is None:
        return code
    told = dict(params or {})
    reason = told.get("reason", "")
    told["reason"] = text(reason, language, {**told, "reason": ""}) if isinstance(reason, str) and reason else ""
    return _filled(_plural(sentence, found.locale, told), found.locale, told).strip()


def notification(kind: str, language: str, params: Mapping[str, object]) -> tuple[str, str]:
    """Title and message of a notification; raises KeyError for an unknown kind, which is a programming error."""
    found = _known(language)
    words = found.notifications[kind]
    return _filled(words["title"], found.locale, params), _filled(words["message"], found.locale, params)


def negotiate(accept_language: str | None, supported: tuple[str, ...] | None = None) -> str:
    """The best of ``supported`` (default: all languages) for an ``Accept-Language`` header (RFC 9110, 4647).

    The first of ``supported`` where the header names none of them, or is absent or nonsense.
    """
    offered = supported or languages()
    if not accept_language:
        return offered[0]
    return _negotiated(accept_language[:LONGEST_HEADER], offered)


@lru_cache(maxsize=1024)
def _negotiated(header: str, offered: tuple[str, ...]) -> str:
    wanted: list[tuple[float, str]] = []
    for item in header.split(","):
        tag, *options = (part.strip() for part in item.split(";"))
        quality = _quality(options)
        if tag and quality > 0:
            wanted.append((quality, tag.lower()))
    for _, tag in sorted(wanted, key=lambda one: -one[0]):
        if tag == "*":
            return offered[0]
        subtags = tag.split("-")
        for length in range(len(subtags), 0, -1):
            candidate = "-".join(subtags[:length])
            if candidate in offered:
                return candidate
    return offered[0]


def _quality(options: list[str]) -> float:
    for option in options:
        name, _, value = option.partition("=")
        if name.strip().lower() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0


def _known(language: str) -> Catalogue:
    main = language.replace("_", "-").partition("-")[0].lower()
    return catalogue(main if main in languages() else FALLBACK)


def _plural(sentence: str | Mapping[str, str], locale: Locale, params: Mapping[str, object]) -> str:
    if isinstance(sentence, str):
        return sentence
    counted = params.get(sentence["by"])
    form = locale.plural_form(counted) if isinstance(counted, int | float | Decimal) else "other"
    return sentence.get(form, sentence["other"])


def _filled(sentence: str, locale: Locale, params: Mapping[str, object]) -> str:
    if "{" not in sentence:
        return sentence
    return sentence.format_map(_Written(locale, params))


class _Written(dict[str, str]):
    """The parameters as text, written when asked for. A missing one shows its name: telling an error must not fail."""

    def __init__(self, locale: Locale, params: Mapping[str, object]) -> None:
        super().__init__()
        self._locale, self._params = locale, params

    def __missing__(self, name: str) -> str:
        if name == "amount" and "amount_minor" in self._params:
            return _money(self._params["amount_minor"], str(self._params["currency"]), self._locale)
        return _written(self._params.get(name, f"{{{name}}}"), self._locale)


def _money(minor: Any, currency: str, locale: Locale) -> str:
    return format_currency(
        Decimal(minor).scaleb(-decimals(currency)), currency, locale=locale, decimal_quantization=False
    )


def _written(value: object, locale: Locale) -> str:
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int | float | Decimal):
        return format_decimal(value, locale=locale)
    if isinstance(value, datetime):
        return format_datetime(value, locale=locale)
    if isinstance(value, date):
        return format_date(value, locale=locale)
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(_written(one, locale) for one in value)
    return str(value)

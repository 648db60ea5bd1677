"""What our mails say.

The words of a language are one catalogue, ``edurise/texts/mails/<language>.toml``, without markup; two layouts,
text and HTML, serve all mails. A new language is one new file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from babel import Locale, UnknownLocaleError
from babel.dates import format_datetime
from babel.numbers import format_currency
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from edurise.money import decimals

FALLBACK = "en"
SUBJECT_LENGTH = 200
_FOLDER = Path(__file__).resolve().parents[1] / "texts" / "mails"

# What each mail must be told. ``name`` may be empty; ``link`` is an absolute http(s) address of the user interface;
# ``until`` is a moment in UTC, ``deleted`` and ``emptied`` count what an erased account left;
# ``amount_minor`` counts minor units of ISO 4217 ``currency``, and the texts see both as ``amount``.
PARAMETERS: Mapping[str, frozenset[str]] = {
    "welcome": frozenset({"name", "link"}),
    "course_enrolled": frozenset({"name", "link", "course"}),
    "payment_settled": frozenset({"name", "link", "course", "amount_minor", "currency", "payment_id"}),
    "teacher_approved": frozenset({"name", "link", "organization"}),
    "teacher_rejected": frozenset({"name", "link", "organization", "reason"}),
    "invitation": frozenset({"name", "link", "organization"}),
    "identity_link": frozenset({"name", "link", "organization"}),
    "second_factor_enrolled": frozenset({"name", "link"}),
    "second_factor_disabled": frozenset({"name", "link"}),
    "recovery_code_used": frozenset({"name", "link"}),
    "verify_email": frozenset({"name", "link"}),
    "reset_password": frozenset({"name", "link"}),
    "password_changed": frozenset({"name", "link"}),
    "change_email": frozenset({"name", "link"}),
    "email_changed": frozenset({"name", "link"}),
    "account_deletion": frozenset({"name", "link", "until"}),
    "account_restored": frozenset({"name", "link"}),
    "account_erased": frozenset({"name", "link", "deleted", "emptied"}),
}


@dataclass(frozen=True)
class RenderedMail:
    """``subject`` is one line of at most SUBJECT_LENGTH characters, ``html`` a whole document.

    ``language`` is the one of the words, which may be FALLBACK.
    """

    subject: str
    text: str
    html: str
    language: str


@dataclass(frozen=True)
class Wording:
    """One mail in one language, with placeholders."""

    subject: str
    heading: str
    paragraphs: Sequence[str]
    action: str
    facts: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True)
class Catalogue:
    """All mails in one language."""

    language: str
    direction: Literal["ltr", "rtl"]
    greeting: str
    greeting_without_name: str
    footer: str
    mails: Mapping[str, Wording]


def render(kind: str, language: str, params: Mapping[str, object]) -> RenderedMail:
    """Return the mail ``kind`` in ``language`` (BCP 47), in its main language, or else in FALLBACK.

    Values come from people, so each is made one line and the HTML layout escapes it. Parameters that the mail does
    not know are ignored. Raises ValueError for an unknown kind, a missing parameter or a link that is no http(s)
    address: a programming error.
    """
    if kind not in PARAMETERS:
        raise ValueError(f"there is no mail {kind!r}")
    missing = PARAMETERS[kind] - params.keys()
    if missing:
        raise ValueError(f"the mail {kind!r} also needs {', '.join(sorted(missing))}")
    link = str(params["link"])
    if urlsplit(link).scheme not in {"http", "https"} or link != _one_line(link):
        raise ValueError(f"the mail {kind!r} needs an absolute http(s) link")
    words = catalogue(_negotiated(language))
    wording = words.mails[kind]
    locale = _locale(language, words.language)
    values = {name: _one_line(_written(params[name], locale)) for name in PARAMETERS[kind]}
    if "amount_minor" in values:
        values["amount"] = _money(int(str(params["amount_minor"])), values["currency"], locale)
    subject = _shortened(_one_line(wording.subject.format_map(values)))
    context = {
        "language": words.language,
        "direction": words.direction,
        "subject": subject,
        "heading": wording.heading.format_map(values),
        "greeting": (words.greeting if values["name"] else words.greeting_without_name).format_map(values),
        "paragraphs": [text for text in (part.format_map(values) for part in wording.paragraphs) if text],
        "facts": [(label, value.format_map(values)) for label, value in wording.facts],
        "action": wording.action,
        "link": link,
        "footer": words.footer,
    }
    layouts = _layouts()
    return RenderedMail(
        subject=subject,
        text=layouts.get_template("layout.txt.j2").render(context),
        html=layouts.get_template("layout.html.j2").render(context),
        language=words.language,
    )


@cache
def languages() -> frozenset[str]:
    """The languages that have a catalogue."""
    return frozenset(path.stem for path in _FOLDER.glob("*.toml"))


@cache
def catalogue(language: str) -> Catalogue:
    """Read a catalogue of ``languages()``; raises KeyError or TypeError for one with missing or unknown keys."""
    with (_FOLDER / f"{language}.toml").open("rb") as file:
        found = tomllib.load(file)
    mails = {kind: _wording(found.pop(kind)) for kind in PARAMETERS}
    return Catalogue(language=language, mails=mails, **found)


def _wording(found: Mapping[str, object]) -> Wording:
    facts = found.get("facts", [])
    pairs = [(str(label), str(value)) for label, value in facts] if isinstance(facts, list) else []
    return Wording(**{**found, "facts": pairs})  # type: ignore[arg-type]  # a catalogue is data; the tests read them all


@cache
def _layouts() -> Environment:
    return Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _negotiated(language: str) -> str:
    tag = language.replace("_", "-").lower()
    for candidate in (tag, tag.partition("-")[0]):
        if candidate in languages():
            return candidate
    return FALLBACK


def _locale(wanted: str, found: str) -> Locale:
    """The reader's own region if the mail is in the reader's language (de-AT writes amounts in another way than de)."""
    if wanted.replace("_", "-").lower().partition("-")[0] == found.partition("-")[0]:
        try:
            return Locale.parse(wanted.replace("-", "_"))
        except (UnknownLocaleError, ValueError):
            return Locale.parse(found)
    return Locale.parse(found)


def _written(value: object, locale: Locale) -> str:
    """A moment as its reader writes one, in UTC; anything else as it is."""
    return format_datetime(value, "long", locale=locale) if isinstance(value, datetime) else str(value)


def _money(amount_minor: int, currency: str, locale: Locale) -> str:
    amount = Decimal(amount_minor).scaleb(-decimals(currency))
    # Without quantization: a receipt says what was paid, also where a currency's small change is not usually shown.
    return format_currency(amount, currency, locale=locale, decimal_quantization=False)


def _one_line(value: str) -> str:
    """Collapse white space, all line ends included, and drop control characters: no value starts a line of its own."""
    return "".join(
        character for character in " ".join(value.split()) if character.isprintable() or character in _JOINERS
    )


# Unprintable to Python, but part of how Persian, Hindi and emoji are spelled; and the marks that order
# right-to-left text.
_JOINERS = frozenset("\u200c\u200d\u200e\u200f\u00ad")


def _shortened(subject: str) -> str:
    return subject if len(subject) <= SUBJECT_LENGTH else subject[: SUBJECT_LENGTH - 1].rstrip() + "…"

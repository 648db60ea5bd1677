"""Every language says everything, every code that is raised has a sentence, and telling an error never fails."""

import ast
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from edurise import errors
from edurise.texts import has_text, languages, negotiate, notification, text
from edurise.texts.catalogue import catalogue
from handlers.codes import KIND_OF_CODE

ROOT = Path(__file__).resolve().parents[2]
KINDS = {
    one.__name__: one.kind
    for one in vars(errors).values()
    if isinstance(one, type) and issubclass(one, errors.DomainError) and one is not errors.DomainError
}
REFUSALS = {"refuse": 0, "refuse_field": 1, "Problem": 0}


def placeholders(words):
    forms = [words] if isinstance(words, str) else [form for name, form in words.items() if name != "by"]
    return {name for form in forms for name in re.findall(r"\{(\w+)\}", form)}


def test_the_three_languages_are_there():
    assert languages() == ("en", "ar", "de")


@pytest.mark.parametrize("language", [one for one in languages() if one != "en"])
def test_every_language_says_everything(language):
    ours, theirs = catalogue("en"), catalogue(language)
    assert ours.codes.keys() == theirs.codes.keys()
    assert {code: placeholders(words) for code, words in ours.codes.items()} == {
        code: placeholders(words) for code, words in theirs.codes.items()
    }
    for kind, words in ours.notifications.items():
        assert words.keys() == theirs.notifications[kind].keys() == {"title", "message"}
        for part in words:
            assert placeholders(words[part]) == placeholders(theirs.notifications[kind][part])


@pytest.mark.parametrize("language", languages())
def test_plurals_have_the_forms_of_their_language(language):
    needed = set(Locale.parse(language).plural_form.tags) | {"other", "by"}
    for code, words in catalogue(language).codes.items():
        if not isinstance(words, str):
            assert words.keys() == needed, code


def _raised():
    """File, code and (for errors) kind of everything that the product raises with a literal code."""
    for folder in ("edurise", "handlers", "actors", "schemas"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call):
                    continue
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                at = 0 if name in KINDS else REFUSALS.get(name)
                if at is None or len(node.args) <= at:
                    continue
                for constant in ast.walk(node.args[at]):
                    if isinstance(constant, ast.Constant) and isinstance(constant.value, str):
                        yield path.relative_to(ROOT), constant.value, KINDS.get(name)


def test_every_raised_code_has_a_sentence():
    assert [f"{path}: {code}" for path, code, _ in _raised() if not has_text(code)] == []


def test_every_raised_code_has_its_kind():
    wrong = [f"{path}: {code}" for path, code, kind in _raised() if kind is not None and KIND_OF_CODE.get(code) != kind]
    assert wrong == []


def test_every_code_with_a_kind_has_a_sentence():
    assert [code for code in KIND_OF_CODE if not has_text(code)] == []
    assert {one.default_code: KIND_OF_CODE[one.default_code] for one in errors.DomainError.__subclasses__()} == {
        one.default_code: one.kind for one in errors.DomainError.__subclasses__()
    }


@pytest.mark.parametrize(
    ("code", "language", "params", "expected"),
    [
        ("too_long", "en", {"max": 1}, "At most 1 character is possible."),
        ("too_long", "en", {"max": 2000}, "At most 2,000 characters are possible."),
        ("too_long", "de-AT", {"max": 2000}, "Höchstens 2.000 Zeichen sind möglich."),
        ("too_long", "ar", {"max": 3}, "يُسمح بـ 3 أحرف على الأكثر."),
        ("bad_choice", "en", {"choices": ["a", "b"]}, "Please choose one of: a, b."),
        ("BAD_REQUEST", "en", {"reason": "bad_json"}, "The request cannot be read. It is not valid JSON."),
        (
            "BAD_REQUEST",
            "en",
            {"reason": "too_deep", "max": 32},
            "The request cannot be read. At most 32 levels of nesting are possible.",
        ),
        ("BAD_REQUEST", "en", {}, "The request cannot be read."),
        ("out_of_range", "en", {}, "A number from {min} to {max} is expected."),
        ("NO_SUCH_CODE", "de", {}, "NO_SUCH_CODE"),
        ("NOT_FOUND", "fr", {}, "There is no such thing here."),
    ],
)
def test_a_sentence_follows_its_language(code, language, params, expected):
    assert text(code, language, params) == expected


@given(st.sampled_from(sorted(catalogue("en").codes)), st.sampled_from(["en", "de", "ar", "", "xx-YY", "{"]), st.text())
def test_telling_an_error_never_fails(code, language, value):
    for params in (None, {}, {"max": value, "min": None, "reason": value, "choices": value}):
        assert text(code, language, params)


def test_values_are_no_templates():
    title, message = notification("course_enrolled", "en", {"course": "{0.__class__} {max}"})
    assert title == "You are enrolled"
    assert message == "“{0.__class__} {max}” is open to you now."


def test_a_notification_writes_money_by_its_language():
    params = {"amount_minor": 199900, "currency": "EUR", "course": "SQL"}
    assert notification("payment_settled", "en", params)[1] == "We received €1,999.00 for “SQL”."
    assert notification("payment_settled", "de", params)[1] == "Wir haben 1.999,00\xa0€ für „SQL“ erhalten."
    with pytest.raises(KeyError):
        notification("no_such_kind", "en", {})


def test_days_and_moments_are_written_by_their_language():
    assert "Feb" in text("bad_choice", "en", {"choices": [date(2026, 2, 3)]})
    assert "03.02.2026" in text("bad_choice", "de", {"choices": datetime(2026, 2, 3, tzinfo=UTC)})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, "en"),
        ("", "en"),
        ("de", "de"),
        ("de-CH, en;q=0.5", "de"),
        ("fr-FR, AR-eg;q=0.8, en;q=0.5", "ar"),
        ("en;q=0.2, de;q=0.9", "de"),
        ("de;q=0, *", "en"),
        ("*;q=0.1, ar;q=0.5", "ar"),
        ("de;q=nonsense", "en"),
        ("de;q=5", "en"),
        (";;,,==;q=q", "en"),
        ("x" * 100_000 + ",de", "en"),
    ],
)
def test_the_language_is_negotiated(header, expected):
    assert negotiate(header) == expected


@given(st.text())
def test_no_header_breaks_the_negotiation(header):
    assert negotiate(header) in languages()
    assert negotiate(header, ("de",)) == "de"

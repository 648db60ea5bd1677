"""Every mail in every language, and what titles and names may not do to it."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from edurise.notifications import mails
from edurise.notifications.mails import PARAMETERS, RenderedMail, render

PARAMS: dict[str, object] = {
    "reason": "Please add your certificates.",
    "name": "Ada",
    "link": "https://learn.example/courses/1",
    "course": "Algebra",
    "organization": "North School",
    "amount_minor": 123450,
    "currency": "EUR",
    "payment_id": "0199-1",
    "until": datetime(2026, 3, 2, 9, 30, tzinfo=UTC),
    "deleted": 12,
    "emptied": 3,
}
HOSTILE = [
    "a\r\nBcc: everyone@example.org",
    "a\nb",
    "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg",
    "NUL\0 and bell\a",
    "{name.__class__}{link}",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "x" * 5000,
    "",
]


class Document(HTMLParser):
    """The tags, the attributes of <html>, and the links of a document."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.root: dict[str, str | None] = {}
        self.links: list[str | None] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "html":
            self.root = dict(attrs)
        if tag == "a":
            self.links.append(dict(attrs)["href"])


def rendered(kind: str, language: str = "en", **more: object) -> RenderedMail:
    return render(kind, language, PARAMS | more)


@pytest.mark.parametrize("language", sorted(mails.languages()))
@pytest.mark.parametrize("kind", sorted(PARAMETERS))
def test_every_mail_exists_in_every_language(kind: str, language: str) -> None:
    mail = rendered(kind, language)
    document = Document(mail.html)
    assert mail.language == language
    assert document.links == [PARAMS["link"]]
    assert str(PARAMS["link"]) in mail.text
    assert "{" not in mail.subject + mail.text
    assert document.root == {"lang": language, "dir": "rtl" if language == "ar" else "ltr"}


@pytest.mark.parametrize("language", sorted(mails.languages() - {"en"}))
def test_every_language_fills_in_the_same_things(language: str) -> None:
    ours, english = mails.catalogue(language), mails.catalogue("en")
    assert placeholders(ours.greeting) == placeholders(english.greeting)
    for kind in PARAMETERS:
        mine, theirs = ours.mails[kind], english.mails[kind]
        assert placeholders(mine.subject) == placeholders(theirs.subject), kind
        assert placeholders(" ".join(mine.paragraphs)) == placeholders(" ".join(theirs.paragraphs)), kind
        assert [placeholders(value) for _, value in mine.facts] == [placeholders(value) for _, value in theirs.facts]


def test_the_languages_of_the_spine_are_there() -> None:
    assert {"en", "de", "ar"} <= mails.languages()


@pytest.mark.parametrize(
    ("asked", "got"),
    [("de", "de"), ("de-AT", "de"), ("DE_ch", "de"), ("ar-EG", "ar"), ("xx", "en"), ("", "en"), ("../de", "en")],
)
def test_a_language_falls_back_to_its_main_one_then_to_english(asked: str, got: str) -> None:
    assert rendered("welcome", asked).language == got


@pytest.mark.parametrize(
    ("language", "amount"),
    [
        ("en", "€1,234.50"),
        ("en-US", "€1,234.50"),
        ("de", "1.234,50\xa0€"),
        ("de-AT", "€\xa01.234,50"),
        ("ar", "\u200f1,234.50\xa0€"),
        ("fr-FR", "€1,234.50"),
        ("de-nonsense", "1.234,50\xa0€"),
    ],
)
def test_amounts_are_written_as_the_reader_writes_them(language: str, amount: str) -> None:
    mail = rendered("payment_settled", language)
    assert amount in mail.text
    assert amount in mail.html


@pytest.mark.parametrize(
    ("minor", "currency", "amount"),
    [(500, "JPY", "¥500"), (1, "USD", "$0.01"), (1005, "KWD", "KWD1.005"), (4950, "IQD", "IQD4.95")],
)
def test_amounts_have_the_decimals_of_their_currency(minor: int, currency: str, amount: str) -> None:
    assert f"Amount: {amount}\n" in rendered("payment_settled", amount_minor=minor, currency=currency).text


@pytest.mark.parametrize("title", HOSTILE)
@pytest.mark.parametrize("kind", sorted(PARAMETERS))
def test_no_title_and_no_name_breaks_out(kind: str, title: str) -> None:
    reason = title or "none"  # an empty paragraph is left out
    plain = rendered(kind)
    mail = rendered(kind, course=title, organization=title, name=title, payment_id=title, reason=reason)
    assert len(mail.subject.splitlines()) == 1
    assert mail.subject.isprintable()
    assert len(mail.subject) <= mails.SUBJECT_LENGTH
    assert len(mail.text.splitlines()) == len(plain.text.splitlines())
    assert Document(mail.html).tags == Document(plain.html).tags
    assert "Bcc" not in [line.partition(":")[0] for line in mail.text.splitlines()]


def test_a_reader_without_a_name_is_greeted_all_the_same() -> None:
    assert rendered("welcome", name="  ").text.startswith("Hello,\n")
    assert rendered("welcome").text.startswith("Hello Ada,\n")


def test_text_has_no_stray_empty_lines() -> None:
    for kind in PARAMETERS:
        assert "\n\n\n" not in rendered(kind).text


@pytest.mark.parametrize("link", ["javascript:alert(1)", "/courses/1", "", "https://x.example/a\nb"])
def test_a_link_must_be_absolute(link: str) -> None:
    with pytest.raises(ValueError, match="link"):
        rendered("welcome", link=link)


def test_mistakes_of_the_caller_are_loud() -> None:
    with pytest.raises(ValueError, match="no mail 'surprise'"):
        rendered("surprise")
    with pytest.raises(ValueError, match="also needs course"):
        render("course_enrolled", "en", {"name": "Ada", "link": "https://x.example/"})


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}

"""The fields accept what they describe, refuse the rest with codes, and never echo the value."""

import re
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edurise.errors import Invalid
from edurise.texts import has_text
from schemas.base import (
    Bool,
    Choice,
    Day,
    Email,
    Id,
    Ignored,
    Instant,
    Int,
    Json,
    JsonObject,
    ListOf,
    Money,
    Nested,
    Number,
    Ordering,
    OutSchema,
    PageQuery,
    Password,
    QueryBool,
    QueryNumber,
    Slug,
    StrictSchema,
    Text,
    Url,
    instant_text,
    load,
    page_of,
    refuse_field,
)

ID = "01890a5d-ac96-774b-bcce-b302099a8057"


def read(field, value):
    return load(StrictSchema.from_dict({"x": field})(), {"x": value})["x"]


def codes(field, value):
    with pytest.raises(Invalid) as refused:
        read(field, value)
    assert refused.value.code == "VALIDATION_ERROR"
    return [problem.code for problems in refused.value.errors.values() for problem in problems]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
FIELDS = [
    Text(min=1, max=5),
    Int(),
    Number(min=0),
    Bool(),
    Id(),
    Slug(),
    Choice(["a", "b"]),
    Email(),
    Password(),
    Url(),
    Instant(),
    Day(),
    Money(),
    Money(currency="JPY"),
    Json(max_depth=2, max_bytes=20),
    JsonObject(),
    ListOf(Int(), max=2),
]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: type(field).__name__)
@given(value=JSON)
def test_any_json_is_read_or_refused_with_codes(field, value):
    found = []
    try:
        read(field, value)
    except Invalid as refused:
        found = [problem.code for problems in refused.errors.values() for problem in problems] or ["nothing said"]
    assert [code for code in found if not has_text(code)] == []


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: type(field).__name__)
def test_null_is_refused_unless_it_is_allowed(field):
    assert codes(field, None) == ["null_not_allowed"]
    allowing = copy(field)
    allowing.allow_none = True
    assert read(allowing, None) is None


@pytest.mark.parametrize("value", [2.9, "2", True, False, [], {}, 2.6e-42])
def test_an_int_is_strict(value):
    assert codes(Int(), value) == ["not_an_integer"]


@pytest.mark.parametrize("value", [10**12, 2**31, -1, 1e22])
def test_an_int_fits_its_column(value):
    assert codes(Int(), value) == ["out_of_range"]


@given(st.integers(0, 2**31 - 1))
def test_an_int_may_be_written_with_a_zero_fraction(value):
    assert read(Int(), value) == value
    assert read(Int(), float(value)) == value
    assert type(read(Int(), float(value))) is int


@pytest.mark.parametrize("value", ["yes", "true", 1, 0, "on"])
def test_a_bool_is_true_or_false(value):
    assert codes(Bool(), value) == ["not_boolean"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a\x00", "nul_byte"),
        ("a\ud800", "surrogate"),
        ("a\x07", "control_character"),
        ("a\nb", "control_character"),
        ("a\x85", "control_character"),
        ("   ", "required_text"),
        ("x" * 11, "too_long"),
        (" x" + " " * 9, "too_long"),
        (7, "not_text"),
    ],
)
def test_a_text_is_clean(value, code):
    assert codes(Text(min=1, max=10), value) == [code]


def test_lines_are_allowed_where_a_text_has_lines():
    assert read(Text(lines=True), " a\r\n\tb ") == "a\r\n\tb"
    assert codes(Text(lines=True), "a\x0b") == ["control_character"]


def test_a_pattern_matches_the_whole_text():
    assert read(Text(pattern="[a-z]+"), " abc ") == "abc"
    assert codes(Text(pattern="[a-z]+"), "abc1") == ["bad_format"]
    assert codes(Text(pattern="[a-z]+", lines=True), "abc\nx") == ["bad_format"]


@given(st.text(max_size=30))
def test_the_described_pattern_is_the_accepted_set(value):
    for field in (Text(max=20), Text(min=1, max=20), Text(min=3, max=20), Text(min=1, max=20, lines=True)):
        described = field.json_schema()
        fits = len(value) <= described["maxLength"] and len(value) >= described.get("minLength", 0)
        fits = fits and re.search(described["pattern"][:-1] + r"\Z", value) is not None
        try:
            read(field, value)
        except Invalid:
            assert not fits
        else:
            assert fits


@pytest.mark.parametrize(
    "value", ["", ID[:-1], ID.replace("-", ""), f"{{{ID}}}", f"urn:uuid:{ID}", f"{ID}\n", 7, "main"]
)
def test_an_id_has_one_form(value):
    assert codes(Id(), value) == ["not_a_uuid"]


def test_an_id_is_a_uuid_and_words_stay_words():
    assert read(Id(), ID.upper()) == UUID(ID)
    assert read(Id(words=["main"]), "main") == "main"


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("Ann.Lee+x@EXAMPLE.com", "Ann.Lee+x@example.com"),
        (" ann@bücher.example ", "ann@xn--bcher-kva.example"),
        ("jose\u0301@example.com", "jos\u00e9@example.com"),
    ],
)
def test_an_address_is_normalised(value, address):
    assert read(Email(), value) == address


@pytest.mark.parametrize(
    "value",
    [
        "ann",
        "@example.com",
        "ann@",
        "ann@localhost",
        "a b@example.com",
        "ann@exa mple.com",
        "ann@-x.com",
        "a..b@example.com",
        "ann\x00@example.com",
        "ann@example.com\nbcc: x@y.z",
        "a@b@example.com",
        "\ud800@example.com",
        "x" * 65 + "@example.com",
    ],
)
def test_what_is_no_address_is_refused(value):
    assert codes(Email(), value) == ["not_an_email"]


def test_a_password_is_never_shown():
    secret = "hunter2" * 40
    schema = StrictSchema.from_dict({"password": Password()})()
    with pytest.raises(Invalid) as refused:
        load(schema, {"password": secret})
    assert secret not in f"{refused.value!r}{refused.value.errors}{schema.fields['password']!r}"
    assert refused.value.__cause__ is None
    assert codes(Password(), "short") == ["too_short"]
    assert codes(Password(), "long enough\x00") == ["nul_byte"]
    assert read(Password(), "  spaces count  ") == "  spaces count  "


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("2026-02-03T10:00", "not_aware"),
        ("2026-02-03T10:00:00", "not_aware"),
        ("2026-02-30T10:00:00Z", "not_an_instant"),
        ("2026-02-03", "not_an_instant"),
        ("20260203T100000Z", "not_an_instant"),
        ("0001-01-01T00:00:00+14:00", "not_an_instant"),
        ("2026-02-03T10:00:00Z\n", "not_an_instant"),
        (1770000000, "not_an_instant"),
    ],
)
def test_a_moment_has_a_zone(value, code):
    assert codes(Instant(), value) == [code]


def test_a_moment_is_utc_inside_and_outside():
    moment = read(Instant(), "2026-02-03T10:00:00.5+02:00")
    assert moment == datetime(2026, 2, 3, 8, 0, 0, 500_000, UTC)
    assert instant_text(moment) == "2026-02-03T08:00:00.500000Z"
    with pytest.raises(ValueError, match="naive"):
        instant_text(datetime(2026, 1, 1))  # noqa: DTZ001 - that it is naive is the point


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (1.005, "too_many_decimals"),
        (-1, "out_of_range"),
        (10**9, "out_of_range"),
        ("5", "not_a_number"),
        (True, "not_a_number"),
    ],
)
def test_money_is_a_number_of_the_currency(value, code):
    assert codes(Money(currency="EUR"), value) == [code]


def test_money_becomes_minor_units_or_an_exact_decimal():
    assert read(Money(currency="EUR"), 19.99) == 1999
    assert read(Money(currency="EUR"), 0.1 * 3) == 30
    assert read(Money(), 19.99) == Decimal("19.990")
    assert codes(Money(currency="JPY"), 1.5) == ["too_many_decimals"]


@pytest.mark.parametrize(
    "value",
    [
        "ftp://x.org",
        "javascript:alert(1)",
        "//x.org",
        "http://",
        "http://a:b@x.org/",
        "http://x.org:99999/",
        "http://x.org/ a",
        "http://[::1",
        "x",
    ],
)
def test_a_link_is_http_without_credentials(value):
    assert codes(Url(), value) == ["not_a_url"]


def test_a_link_stays_as_it_was_written():
    assert read(Url(), "https://X.org/a?b=c#d") == "https://X.org/a?b=c#d"


def test_free_json_is_bounded():
    assert codes(Json(max_depth=2), [[[1]]]) == ["too_deep"]
    assert codes(Json(max_bytes=10), "x" * 20) == ["too_large"]
    assert codes(Json(), {"a\x00": 1}) == ["nul_byte"]
    assert codes(Json(), 2**70) == ["bad_json"]
    assert read(Json(), {"a": [1, None]}) == {"a": [1, None]}


class _Lesson(StrictSchema):
    title = Text(min=1, required=True)


class _Module(StrictSchema):
    title = Text(min=1, required=True)
    lessons = ListOf(Nested(_Lesson), max=2)
    old = Ignored()


def problems(schema, data):
    with pytest.raises(Invalid) as refused:
        load(schema, data)
    return {name: [problem.code for problem in found] for name, found in refused.value.errors.items()}


def test_nested_problems_are_named_by_their_path():
    data = {"title": "a", "lessons": [{"title": " "}, {"title": "b", "x": 1}]}
    assert problems(_Module(), data) == {"lessons.0.title": ["required_text"], "lessons.1.x": ["unknown_field"]}
    assert problems(_Module(), {"title": "a", "lessons": [7]}) == {"lessons.0": ["not_an_object"]}
    assert problems(_Module(), {"title": "a", "lessons": {"0": 1}}) == {"lessons": ["not_a_list"]}
    assert problems(_Module(), {"title": "a", "lessons": [{}, {}, {}]}) == {"lessons": ["too_many"]}
    assert problems(_Module(), [1]) == {"_schema": ["not_an_object"]}


@given(JSON)
def test_ignored_keys_are_accepted_and_dropped(value):
    assert load(_Module(), {"title": "a", "old": value}) == {"title": "a"}


def test_complaints_are_bounded():
    found = problems(_Module(), {"title": "a"} | {f"{'k' * 200}{n}": n for n in range(1000)})
    assert len(found) <= 50
    assert all(len(name) <= 100 for name in found)


def test_a_rule_over_the_whole_body_names_its_field():
    with pytest.raises(Exception, match="passwords_differ"):
        refuse_field("password_confirm", "passwords_differ")


class _CourseQuery(PageQuery):
    ordering = Ordering(["title", "created_at"], load_default="-created_at")
    free = QueryBool()
    rating = QueryNumber(min=0, max=5)


def test_a_query_ignores_what_it_does_not_know_and_what_is_empty():
    assert load(_CourseQuery(), {"x": "1", "search": "", "page": "", "free": ""}) == {
        "page": None,
        "page_size": 20,
        "search": "",
        "ordering": "-created_at",
    }
    assert load(
        _CourseQuery(), {"page": "2", "page_size": "100", "free": "true", "rating": "4.5", "ordering": "-title"}
    ) == {
        "page": 2,
        "page_size": 100,
        "search": "",
        "free": True,
        "rating": 4.5,
        "ordering": "-title",
    }


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"page": "0"}, "out_of_range"),
        ({"page": "-1"}, "out_of_range"),
        ({"page": "1.0"}, "not_an_integer"),
        ({"page": "٣"}, "not_an_integer"),
        ({"page": "9" * 5000}, "out_of_range"),
        ({"page_size": "101"}, "out_of_range"),
        ({"ordering": "id; drop table"}, "bad_choice"),
        ({"free": "1"}, "not_boolean"),
        ({"rating": "nan"}, "not_a_number"),
        ({"rating": "1_0"}, "not_a_number"),
        ({"search": "\x00"}, "nul_byte"),
    ],
)
def test_a_query_is_as_strict_as_a_body(query, code):
    assert [one for found in problems(_CourseQuery(), query).values() for one in found] == [code]


class _CourseOut(OutSchema):
    id = Id()
    title = Text()
    note = Text(required=False)


def test_an_answer_holds_every_field_it_documents():
    assert problems(_CourseOut(), {"id": ID}) == {"title": ["required"]}
    page = page_of(_CourseOut)
    assert page is page_of(_CourseOut)
    assert page.__name__ == "_CoursePageOut"
    assert (
        load(page(), {"count": 1, "next": None, "previous": None, "results": [{"id": ID, "title": "a"}]})["count"] == 1
    )

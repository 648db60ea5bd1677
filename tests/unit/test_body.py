"""Bytes of a body become one JSON object or a refusal, never another exception."""

from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edurise.errors import Invalid
from schemas.body import parse_json


def reason(body, **options):
    with pytest.raises(Invalid) as refused:
        parse_json(body, **options)
    assert refused.value.code == "BAD_REQUEST"
    return refused.value.params["reason"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a":1,}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":1e400}',
        b'{"a":"\xff"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\x00"}',
        b"{'a':1}",
        b"\xef\xbb\xbf{}",
        b'{"a":1} {"b":2}',
    ],
)
def test_what_is_not_json_is_refused(body):
    assert reason(body) == "bad_json"


@pytest.mark.parametrize("body", [b"[]", b"1", b'"x"', b"null", b"true"])
def test_the_top_level_is_an_object(body):
    assert reason(body) == "not_an_object"


@pytest.mark.parametrize("levels", [33, 1000, 100_000])
def test_deep_nesting_is_refused(levels):
    assert reason(b'{"a":' + b"[" * levels + b"]" * levels + b"}") == "too_deep"
    assert reason(b'{"a":' * levels + b"1" + b"}" * levels) == "too_deep"


def test_the_bound_itself_is_accepted():
    assert parse_json(b'{"a":' * 32 + b"1" + b"}" * 32)
    assert reason(b'{"a":{"b":1}}', max_depth=1) == "too_deep"


def test_many_shallow_brackets_are_no_depth():
    assert parse_json(b'{"a":[' + b"[]," * 1000 + b"[]]}") == {"a": [[]] * 1001}


def test_of_two_equal_keys_the_last_counts():
    assert parse_json(b'{"a":1,"a":2}') == {"a": 2}


@pytest.mark.parametrize("body", [b"", b"  \r\n"])
def test_an_empty_body_is_an_empty_object(body):
    assert parse_json(body) == {}


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(body):
    with suppress(Invalid):
        assert isinstance(parse_json(body), dict)


@given(
    st.dictionaries(st.text(max_size=5), st.recursive(st.integers(-(2**53), 2**53) | st.text(), st.lists), max_size=5)
)
def test_what_clients_write_is_read(value):
    assert parse_json(orjson.dumps(value)) == value

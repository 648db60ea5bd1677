"""One rounding rule, and exact conversions both ways."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edurise import money
from edurise.errors import Invalid

CURRENCIES = st.sampled_from(["JPY", "EUR", "KWD"])


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        (19.99, "EUR", 1999),
        (0.1 + 0.2, "EUR", 30),
        (Decimal("0.125"), "USD", 12),
        (Decimal("0.135"), "USD", 14),
        (Decimal("2.5"), "JPY", 2),
        (1, "KWD", 1000),
        (Decimal("-0.125"), "USD", -12),
    ],
)
def test_major_units_become_minor_ones_half_even(amount, currency, minor):
    assert money.to_minor(amount, currency) == minor


@given(st.integers(-(10**12), 10**12), CURRENCIES)
def test_what_clients_read_is_what_was_stored(minor, currency):
    major = money.to_major(minor, currency)
    assert money.to_minor(major, currency) == minor
    assert len(repr(major).partition(".")[2]) <= max(1, money.decimals(currency)) or "e" in repr(major)


@given(st.integers(0, 10**9), CURRENCIES)
def test_exact_conversion_keeps_what_the_currency_can_hold(minor, currency):
    amount = Decimal(minor).scaleb(-money.decimals(currency))
    assert money.exact_minor(amount, currency, "price") == minor


def test_exact_conversion_refuses_what_is_finer_than_the_currency():
    with pytest.raises(Invalid) as refused:
        money.exact_minor(Decimal("1.5"), "JPY", "price")
    (problem,) = refused.value.errors["price"]
    assert (problem.code, problem.params) == ("too_many_decimals", {"max": 0})


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), Decimal("NaN")])
def test_what_is_not_finite_is_no_amount(amount):
    with pytest.raises(ValueError, match="finite"):
        money.to_minor(amount, "EUR")


@pytest.mark.parametrize("currency", ["eur", "EURO", "", "E1R", "ÄÖÜ"])
def test_only_iso_codes_are_currencies(currency):
    with pytest.raises(ValueError, match="ISO 4217"):
        money.decimals(currency)

"""Money: integer minor units and an ISO 4217 currency inside, a JSON number in major units outside, one rounding rule.

The rule is half even (IEEE 754 "banker's rounding"): over many amounts it does not drift, which half up does.
Decimals per currency: ISO 4217, list one, column "minor unit". CLDR (and so babel) differs, for display only.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

from edurise.errors import Invalid, Problem

_WITHOUT_DECIMALS = frozenset(
    (
        "BIF",
        "CLP",
        "DJF",
        "GNF",
        "ISK",
        "JPY",
        "KMF",
        "KRW",
        "PYG",
        "RWF",
        "UGX",
        "UYI",
        "VND",
        "VUV",
        "XAF",
        "XOF",
        "XPF",
    )
)
_WITH_THREE = frozenset(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"))
MOST_DECIMALS = 3


def decimals(currency: str) -> int:
    """How many decimals the currency has; raises ValueError for what is not three capital letters."""
    if len(currency) != 3 or not currency.isascii() or not currency.isalpha() or not currency.isupper():
        raise ValueError(f"not an ISO 4217 code: {currency!r}")
    if currency in _WITHOUT_DECIMALS:
        return 0
    return 3 if currency in _WITH_THREE else 2


def to_minor(amount: Decimal | int | float, currency: str) -> int:
    """Major units to minor units, half even: ``to_minor(19.99, "EUR") == 1999``. NaN and infinity: ValueError."""
    exact = Decimal(repr(amount)) if isinstance(amount, float) else Decimal(amount)
    if not exact.is_finite():
        raise ValueError("an amount must be finite")
    return int(exact.scaleb(decimals(currency)).to_integral_value(rounding=ROUND_HALF_EVEN))


def exact_minor(amount: Decimal | int, currency: str, field: str) -> int:
    """As :func:`to_minor`, for what was typed into ``field``: raises Invalid where it is finer than the currency."""
    places = decimals(currency)
    minor = Decimal(amount).scaleb(places)
    if minor != minor.to_integral_value():
        raise Invalid(errors={field: [Problem("too_many_decimals", {"max": places})]})
    return int(minor)


def to_major(minor: int, currency: str) -> float:
    """Minor units to the JSON number that clients read: ``to_major(1999, "EUR") == 19.99``.

    The nearest double prints as exactly these decimals for every amount below 2**53 minor units.
    """
    return float(Decimal(minor).scaleb(-decimals(currency)))


UNUSUAL = {0: _WITHOUT_DECIMALS, 3: _WITH_THREE}
"""Currencies by number of decimals, where it is not 2; for comparisons inside the database."""

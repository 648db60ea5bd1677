"""Fields for texts and numbers with a meaning: addresses, passwords, links, moments, days, money."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from unicodedata import normalize
from urllib.parse import urlsplit

from edurise import money
from edurise.identity import mailboxes
from schemas.fields import JsonSchema, Plain, refuse

_INSTANT = re.compile(
    r"(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))[Tt ]"
    r"((?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d{1,9})?)?)([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?",
    re.ASCII,
)
# A local date and time as browsers send it, for the description.
_LOCAL_TIME = (
    r"[12]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    r"|02-(?:0[1-9]|1\d|2[0-8]))T(?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d)?"
)
_NOISE = Decimal("1e-7")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Email(Plain[str]):
    """An address of at most 254 characters, normalised to NFC: lower-case IDNA domain, unchanged local part."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse("not_text")
        if len(value) > 254:
            refuse("too_long", max=254)
        address = mailboxes.normal(value)
        if address is None:
            refuse("not_an_email")
        return address

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "format": "email", "maxLength": 254}


class Password(Plain[str]):
    """A password of ``min`` to ``max`` characters, taken as it is but for NFC; never part of an error or a repr."""

    def __init__(self, *, min: int = 8, max: int = 200, **options: Any) -> None:  # noqa: A002 - as Text
        super().__init__(load_only=True, **options)
        self.min, self.max = min, max

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse("not_text")
        if len(value) > self.max:
            refuse("too_long", max=self.max)
        if len(value) < self.min:
            refuse("too_short", min=self.min)
        if "\x00" in value:
            refuse("nul_byte")
        try:
            value.encode()
        except UnicodeEncodeError:
            refuse("surrogate")
        return normalize("NFC", value)

    def json_schema(self) -> JsonSchema:
        return {
            "type": "string",
            "format": "password",
            "minLength": self.min,
            "maxLength": self.max,
            "pattern": r"^[^\x00]*$",
        }


class Url(Plain[str]):
    """An absolute http or https link without credentials, of at most ``max`` characters."""

    def __init__(self, *, max: int = 2000, **options: Any) -> None:  # noqa: A002 - as Text
        super().__init__(**options)
        self.max = max

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            refuse("not_text")
        if len(value) > self.max:
            refuse("too_long", max=self.max)
        if re.search(r"[\s\x00-\x1f\x7f-\x9f\ud800-\udfff\\]", value):
            refuse("not_a_url")
        try:
            parts = urlsplit(value)
            port_is_valid = parts.port is None or 0 < parts.port < 65536
        except ValueError:
            refuse("not_a_url")
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or not port_is_valid:
            refuse("not_a_url")
        return value

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "format": "uri", "maxLength": self.max, "pattern": "^https?://"}


class Instant(Plain[datetime]):
    """A moment as RFC 3339 text with a zone; becomes an aware datetime in UTC.

    A naive time is refused: nobody knows which moment it means. With ``naive=True`` it stays a naive datetime, and the
    service reads it in the zone of an organization.
    """

    def __init__(self, *, naive: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.naive = naive

    def read(self, value: Any) -> datetime:
        if not isinstance(value, str):
            refuse("not_an_instant")
        found = _INSTANT.fullmatch(value)
        if found is None:
            refuse("not_an_instant")
        day, time, zone = found.groups()
        if zone is None and not self.naive:
            refuse("not_aware")
        try:
            if zone is None:
                return datetime.fromisoformat(f"{day}T{time}")
            return datetime.fromisoformat(f"{day}T{time}{zone.upper()}").astimezone(UTC)
        except (ValueError, OverflowError):
            refuse("not_an_instant")

    def json_schema(self) -> JsonSchema:
        if self.naive:
            return {"type": "string", "anyOf": [{"format": "date-time"}, {"pattern": f"^{_LOCAL_TIME}$"}]}
        return {"type": "string", "format": "date-time"}


def instant_text(moment: datetime) -> str:
    """ISO 8601 in UTC with ``Z``, as every answer writes it; raises ValueError for a naive time."""
    if moment.tzinfo is None:
        raise ValueError("a naive time cannot be written")
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


class Day(Plain[date]):
    """A calendar day, ``YYYY-MM-DD``."""

    def read(self, value: Any) -> date:
        if not isinstance(value, str) or not _DAY.fullmatch(value):
            refuse("not_a_day")
        try:
            return date.fromisoformat(value)
        except ValueError:
            refuse("not_a_day")

    def json_schema(self) -> JsonSchema:
        return {"type": "string", "format": "date"}


class Money(Plain[Decimal | int]):
    """An amount as a JSON number in major units (19.99), not negative, with no more decimals than its currency has.

    With ``currency`` it becomes an ``int`` of minor units. Without, it becomes an exact ``Decimal`` in major units: the
    organization, and so the currency, is known only inside the hop, where ``edurise.money.exact_minor`` finishes the
    conversion and refuses what is too fine. Noise of binary fractions (0.1 * 3) is no decimal and is rounded away.
    """

    def __init__(self, *, currency: str | None = None, max: int = 10_000_000, **options: Any) -> None:  # noqa: A002 - as Text
        super().__init__(**options)
        self.currency, self.max = currency, max
        self.decimals = money.MOST_DECIMALS if currency is None else money.decimals(currency)

    def read(self, value: Any) -> Decimal | int:
        if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
            refuse("not_a_number")
        try:
            # repr() is the shortest text that reads back as the same float: 19.99, not 19.989999….
            amount = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
        except InvalidOperation:
            refuse("not_a_number")
        if not amount.is_finite():
            refuse("not_a_number")
        if not 0 <= amount <= self.max:
            refuse("out_of_range", min=0, max=self.max)
        exact = amount.quantize(Decimal(1).scaleb(-self.decimals))
        if abs(amount - exact) > _NOISE:
            refuse("too_many_decimals", max=self.decimals)
        return exact if self.currency is None else money.to_minor(exact, self.currency)

    def json_schema(self) -> JsonSchema:
        return {
            "type": "number",
            "minimum": 0,
            "maximum": self.max,
            "multipleOf": float(Decimal(1).scaleb(-self.decimals)),
        }

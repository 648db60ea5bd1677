"""Bodies and answers of payments."""

from __future__ import annotations

import re
from typing import Any

from marshmallow import INCLUDE, pre_load

from edurise.errors import Invalid, Problem
from schemas.base import Choice, Email, Id, Ignored, Instant, Number, OutSchema, StrictSchema, Text

METHODS = ["stripe", "paypal", "bank_transfer"]
CARD_FIELDS = frozenset(
    (
        "card",
        "cardholder",
        "cardholdername",
        "cardnumber",
        "cvc",
        "cvc2",
        "cvv",
        "cvv2",
        "expiry",
        "expirydate",
        "expmonth",
        "expyear",
        "number",
        "pan",
        "securitycode",
    )
)
"""Names of card data, in lower case and without what is neither letter nor digit."""
_SEPARATORS = re.compile(r"[\W_]+")


class StartPaymentIn(StrictSchema):
    """The course to buy. The price and its currency are the server's."""

    course_id = Id(required=True)
    payment_method = Choice(METHODS, load_default="stripe")
    amount = Ignored()
    currency = Ignored()


class DialogPaymentIn(StrictSchema):
    """What the old payment dialog posts. Card data is refused before anything else looks at it."""

    class Meta:
        unknown = INCLUDE

    @pre_load
    def refuse_card_data(self, data: Any, **_: object) -> Any:
        if isinstance(data, dict) and _holds_card_data(data):
            raise Invalid("CARD_DATA_REFUSED", errors={"card": [Problem("card_data_refused")]})
        return data


class StartedPaymentOut(OutSchema):
    """What the browser needs to pay. ``gateway`` is ``sandbox`` where no money moves."""

    payment_id = Id()
    payment_intent_id = Text()
    client_secret = Text(max=500, allow_none=True)
    amount = Number(min=0)
    currency = Text(max=3)
    gateway = Choice(["stripe", "sandbox"])
    status = Choice(["pending", "processing", "completed", "failed", "cancelled", "refunded"])


class PaymentOut(OutSchema):
    """The contract's Payment."""

    id = Id()
    user = Id()
    user_email = Email()
    course = Id()
    course_title = Text()
    payment_type = Choice(["course", "subscription"])
    amount = Number(min=0)
    currency = Text(max=3)
    payment_method = Choice(METHODS)
    status = Choice(["pending", "processing", "completed", "failed", "cancelled", "refunded"])
    stripe_payment_intent_id = Text(allow_none=True)
    transaction_id = Text(allow_none=True)
    description = Text()
    created_at = Instant()
    updated_at = Instant()
    completed_at = Instant(allow_none=True)
    failed_at = Instant(allow_none=True)


def _holds_card_data(value: Any) -> bool:
    waiting = [value]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            if any(_SEPARATORS.sub("", str(name)).lower() in CARD_FIELDS for name in node):
                return True
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return False

"""Buying a course as a browser does: start, pay at the gateway, confirm. Every step may be repeated."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

from tornado.httpclient import HTTPError
from tornado.simple_httpclient import HTTPStreamClosedError, HTTPTimeoutError

from tests.harness.client import Answer, Client
from tests.harness.waiting import eventually

PAYMENTS = "/api/v1/payments"
_AWAY = (OSError, HTTPError, HTTPStreamClosedError, HTTPTimeoutError)


async def start(learner: Client, course_id: object, **headers: str) -> Answer:
    """Start the payment of a course."""
    return await learner.post(f"{PAYMENTS}/create_course_payment/", {"course_id": str(course_id)}, **headers)


async def pay(gateway: Client, started: dict[str, Any], card: str = "pm_card_visa") -> Answer:
    """What Stripe.js does in the browser: confirm the intent by its client secret."""
    form = urlencode({"client_secret": started["client_secret"], "payment_method": card}).encode()
    path = f"/v1/payment_intents/{started['payment_intent_id']}/confirm"
    return await gateway.call("POST", path, raw=form, headers={"Content-Type": "application/x-www-form-urlencoded"})


async def confirm(learner: Client, payment_id: str) -> Answer:
    """Ask what became of a payment."""
    return await learner.post(f"{PAYMENTS}/{payment_id}/confirm_payment/")


async def insisting(call: Callable[[], Awaitable[Answer]], what: str, within_s: float = 60.0) -> Answer:
    """Repeat a call as the browser's client does, through broken connections, nginx's 502 and 504, and 429, until it is
    answered. A 500 is a fault of ours at any time.
    """

    async def once() -> Answer | None:
        try:
            answer = await call()
        except _AWAY:
            return None
        assert answer.status != 500, answer.content
        return None if answer.status in (429, 502, 504) else answer

    return await eventually(once, what, within_s)


async def bought(learner: Client, gateway: Client, course_id: object, *, confirms: bool = True) -> str:
    """Buy a course whatever fails meanwhile; returns the payment's id. Who does not confirm has closed the tab."""
    started = await insisting(lambda: start(learner, course_id), "the start of a payment")
    assert started.status == 201, started.content
    paid = await insisting(lambda: pay(gateway, started.data), "the payment at the gateway")
    assert paid.status == 200, paid.content
    payment_id = started.data["payment_id"]
    if confirms:
        done = await insisting(lambda: confirm(learner, payment_id), "the confirmation of a payment")
        assert (done.status, done.data["status"]) == (200, "completed"), done.content
    return payment_id

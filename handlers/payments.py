"""Payments: start, confirm, and the gateway's webhook."""

from __future__ import annotations

from uuid import UUID

from edurise.payments import flows
from edurise.payments.permissions import Payments
from handlers.base import RestHandler
from handlers.guards import describe, permit, public
from schemas.base import EmptyIn
from schemas.payments import DialogPaymentIn, PaymentOut, StartedPaymentOut, StartPaymentIn


class PaymentsHandler(RestHandler):
    """The path of the old payment dialog."""

    @permit(Payments.START)
    @describe(
        summary="Refuses raw card data (400); every other payment starts at create_course_payment (409)",
        tags=["payments"],
        body=DialogPaymentIn,
        out=PaymentOut,
        status=201,
        errors=["CARD_DATA_REFUSED", "PAYMENT_DIALOG_UNSUPPORTED"],
    )
    async def post(self) -> None:
        self.body(DialogPaymentIn)
        flows.refuse_dialog()


class CoursePaymentHandler(RestHandler):
    """The purchase of a course."""

    @permit(Payments.START)
    @describe(
        summary="Start, or find again, the payment of a course at the server's price",
        tags=["payments"],
        body=StartPaymentIn,
        out=StartedPaymentOut,
        status=201,
        idempotent=True,
        errors=[
            "MEMBERSHIP_SUSPENDED",
            "PLAN_LIMIT_REACHED",
            "COURSE_NOT_ON_SALE",
            "COURSE_IS_FREE",
            "ALREADY_ENROLLED",
            "COURSE_FULL",
            "IDEMPOTENCY_KEY_REUSED",
            "PAYMENT_METHOD_UNAVAILABLE",
            "PAYMENT_GATEWAY_UNAVAILABLE",
        ],
    )
    async def post(self) -> None:
        data = self.body(StartPaymentIn)
        key = self.idempotency_key()
        self.reply(201, await flows.start(self.c, self.who, data["course_id"], data["payment_method"], key))


class ConfirmPaymentHandler(RestHandler):
    """What became of a payment."""

    @permit(Payments.CONFIRM)
    @describe(
        summary="Ask the gateway what became of the payment; settle and enroll if it succeeded",
        tags=["payments"],
        body=EmptyIn,
        out=PaymentOut,
        errors=["PAYMENT_DECLINED", "PAYMENT_MISMATCH", "PAYMENT_GATEWAY_UNAVAILABLE"],
    )
    async def post(self, id: UUID) -> None:  # noqa: A002 - the name in the path
        self.body(EmptyIn)
        self.reply(200, await flows.confirm(self.c, self.who, id))


class StripeWebhookHandler(RestHandler):
    """Stripe's events. The signature over the raw body is the caller's identity."""

    reads_token = False
    limited = False  # all of Stripe comes from few addresses, and what is not signed costs a hash

    @public()
    @describe(
        summary="Stripe's webhook",
        tags=["payments"],
        shape="none",
        limited=False,
        errors=["WEBHOOK_SIGNATURE", "WEBHOOK_NOT_SUPPORTED"],
    )
    async def post(self) -> None:
        await flows.receive(self.c, "stripe", self.raw_body(), self.request.headers.get("Stripe-Signature", ""))
        self.reply(200)


routes = [
    ("/api/v1/payments/", PaymentsHandler),
    ("/api/v1/payments/create_course_payment/", CoursePaymentHandler),
    ("/api/v1/payments/{id:uuid}/confirm_payment/", ConfirmPaymentHandler),
    ("/api/v1/webhooks/stripe/", StripeWebhookHandler),
]
aliases = [
    ("POST", "/api/v1/v1/payments/create_course_payment/", "/api/v1/payments/create_course_payment/"),
    ("POST", "/api/v1/v1/payments/{id:uuid}/confirm_payment/", "/api/v1/payments/{id:uuid}/confirm_payment/"),
]

"""Commands on payments. Settling, entitlement, standing, membership and enrollment are one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from edurise import audit, outbox
from edurise.authz import Principal
from edurise.courses import queries as courses
from edurise.courses import service as catalogue
from edurise.db import flush_unique, insert_missing, moment
from edurise.enrollments import queries as enrollments
from edurise.enrollments import service as places
from edurise.errors import Conflict, NotFound, Retry
from edurise.payments import queries
from edurise.payments.events import GatewayReported, PaymentSettled
from edurise.payments.models import GatewayEvent, Payment
from edurise.payments.ports import GatewayEvent as Reported
from edurise.payments.ports import Intent
from edurise.tenants import service as memberships


@dataclass(frozen=True)
class Due:
    """What a gateway must know to create or find the intent of a payment."""

    payment_id: UUID
    amount_minor: int
    currency: str
    gateway: str
    reference: str | None
    title: str
    status: str


def start(session: Session, who: Principal, course_id: UUID, method: str, gateway: str, key: str | None) -> Due:
    """Return the open payment of this learner for this course; the first call creates it, at the server's price.

    Raises Conflict: COURSE_NOT_ON_SALE, COURSE_IS_FREE, ALREADY_ENROLLED, COURSE_FULL, PLAN_LIMIT_REACHED, or
    IDEMPOTENCY_KEY_REUSED for another purchase under the same key; Forbidden (MEMBERSHIP_SUSPENDED).
    """
    price = courses.price_of(session, course_id)
    found = queries.by_key(session, who.tenant, who.person, key) if key else None
    if found is not None and (found.course_id, found.method) != (course_id, method):
        raise Conflict("IDEMPOTENCY_KEY_REUSED")
    found = found or queries.open_payment(session, who.tenant, who.person, course_id)
    if found is not None:
        return _due(found, price.title)
    if not price.on_sale:
        raise Conflict("COURSE_NOT_ON_SALE")
    if price.amount_minor == 0:
        raise Conflict("COURSE_IS_FREE")
    if enrollments.is_enrolled(session, who.tenant, course_id, who.person):
        raise Conflict("ALREADY_ENROLLED")
    memberships.expect_room(session, who.tenant, who.person)
    catalogue.reserve_place(session, price.face)
    now = moment(session)
    payment = Payment(
        id=uuid7(),
        tenant_id=who.tenant,
        course_id=course_id,
        learner_id=who.person,
        amount_minor=price.amount_minor,
        currency=price.currency,
        gateway=gateway,
        method=method,
        status="pending",
        idempotency_key=key,
        created_at=now,
        updated_at=now,
    )
    session.add(payment)
    # Either key may decide the race; the loser is run once more and finds the winner's row.
    flush_unique(session, on=("uq_payments_open", "uq_payments_tenant_id_learner_id_idempotency_key"), raises=Retry)
    return _due(payment, price.title)


def attach_intent(session: Session, _who: Principal, payment_id: UUID, reference: str) -> None:
    """Remember the gateway's reference; safe to repeat."""
    payment = _locked(session, payment_id)
    if payment.intent_reference is None:
        payment.intent_reference = reference
        payment.updated_at = moment(session)


def due(session: Session, _who: Principal, payment_id: UUID) -> Due:
    """What to ask the gateway about a payment. Raises NotFound."""
    payment = session.get(Payment, payment_id)
    if payment is None:
        raise NotFound
    return _due(payment, courses.price_of(session, payment.course_id).title)


def settle(session: Session, who: Principal, payment_id: UUID, intent: Intent) -> UUID:
    """Complete a payment whose intent succeeded, grant the course and enroll the learner; returns the payment's id.

    The browser's confirmation and the webhook both come here, together and repeatedly: the payment's row lock lets one
    of them do it, the other finds it done. Raises Conflict (PAYMENT_MISMATCH) where the gateway took another amount
    than was asked for.
    """
    payment = _locked(session, payment_id)
    if payment.status == "completed":
        return payment.id
    if payment.intent_reference not in (None, intent.reference):
        raise Conflict("PAYMENT_MISMATCH")
    now = moment(session)
    if intent.status == "canceled" and payment.status in queries.OPEN:
        payment.status, payment.failed_at, payment.updated_at = "cancelled", now, now
        return payment.id
    if intent.status == "processing" and payment.status == "pending":
        payment.status, payment.updated_at = "processing", now
        return payment.id
    if intent.status != "succeeded":
        return payment.id
    if (intent.amount_minor, intent.currency) != (payment.amount_minor, payment.currency):
        raise Conflict("PAYMENT_MISMATCH")
    payment.status, payment.completed_at, payment.updated_at = "completed", now, now
    payment.intent_reference = intent.reference
    places.entitle(session, payment.tenant_id, payment.course_id, payment.learner_id, payment.id)
    places.take_place(session, payment.tenant_id, payment.course_id, payment.learner_id, paid=True)
    audit.write(
        session,
        who,
        "payment.settled",
        "payment",
        payment.id,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )
    outbox.record(session, payment.tenant_id, _settled(payment, courses.price_of(session, payment.course_id).title))
    return payment.id


def receive(session: Session, gateway: str, event: Reported) -> bool:
    """Store a verified gateway event under its own id (system role); returns whether it is new. An actor does the
    work."""
    is_new = insert_missing(
        session,
        GatewayEvent,
        id=f"{gateway}:{event.id}",
        gateway=gateway,
        type=event.type,
        intent_reference=event.intent_reference,
        received_at=moment(session),
    )
    if is_new and event.intent_reference is not None:
        reported = GatewayReported(gateway=gateway, gateway_event_id=event.id, intent_reference=event.intent_reference)
        outbox.record(session, None, reported)
    return is_new


def tenant_of(session: Session, payment_id: UUID) -> UUID:
    """The organization of a payment (system role). Raises NotFound."""
    found = session.scalar(select(Payment.tenant_id).where(Payment.id == payment_id))
    if found is None:
        raise NotFound
    return found


def settled_view(session: Session, who: Principal, payment_id: UUID, intent: Intent) -> dict[str, Any]:
    """Settle as far as the intent allows and return the contract's Payment."""
    settle(session, who, payment_id, intent)
    session.flush()
    return queries.payment_view(session, payment_id)


def _locked(session: Session, payment_id: UUID) -> Payment:
    payment = session.scalars(
        select(Payment).where(Payment.id == payment_id).with_for_update().execution_options(populate_existing=True)
    ).one_or_none()
    if payment is None:
        raise NotFound
    return payment


def _due(payment: Payment, title: str) -> Due:
    return Due(
        payment.id,
        payment.amount_minor,
        payment.currency,
        payment.gateway,
        payment.intent_reference,
        title,
        payment.status,
    )


def _settled(payment: Payment, title: str) -> PaymentSettled:
    return PaymentSettled(
        payment_id=payment.id,
        learner_id=payment.learner_id,
        course_id=payment.course_id,
        course_title=title,
        amount_minor=payment.amount_minor,
        currency=payment.currency,
    )

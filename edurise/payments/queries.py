"""Reads of payments."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from edurise.courses import queries as courses
from edurise.errors import NotFound
from edurise.identity import queries as people
from edurise.money import to_major
from edurise.payments.models import Payment

OPEN = ("pending", "processing")


def open_payment(session: Session, tenant_id: UUID, learner_id: UUID, course_id: UUID) -> Payment | None:
    """The learner's open payment for a course; the unique index allows one."""
    return session.scalars(
        select(Payment).where(
            Payment.tenant_id == tenant_id,
            Payment.learner_id == learner_id,
            Payment.course_id == course_id,
            Payment.status.in_(OPEN),
        )
    ).one_or_none()


def by_key(session: Session, tenant_id: UUID, learner_id: UUID, key: str) -> Payment | None:
    """The payment that an earlier request with this Idempotency-Key made."""
    return session.scalars(
        select(Payment).where(
            Payment.tenant_id == tenant_id, Payment.learner_id == learner_id, Payment.idempotency_key == key
        )
    ).one_or_none()


def payment_view(session: Session, payment_id: UUID) -> dict[str, Any]:
    """The contract's Payment. Raises NotFound."""
    row = session.get(Payment, payment_id)
    if row is None:
        raise NotFound
    learner = people.contact(session, row.learner_id)
    title = courses.price_of(session, row.course_id).title
    return {
        "id": row.id,
        "user": row.learner_id,
        "user_email": learner["email"],
        "course": row.course_id,
        "course_title": title,
        "payment_type": "course",
        "amount": to_major(row.amount_minor, row.currency),
        "currency": row.currency,
        "payment_method": row.method,
        "status": row.status,
        "stripe_payment_intent_id": row.intent_reference if row.gateway == "stripe" else None,
        "transaction_id": row.intent_reference,
        "description": title,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
        "completed_at": row.completed_at,
        "failed_at": row.failed_at,
    }

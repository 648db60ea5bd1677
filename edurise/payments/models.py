"""Payments and the gateways' events. No card data, no client secret is ever stored."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from edurise.db import Base, TenantScoped


class Payment(TenantScoped, Base):
    """One purchase of one course at the server's price. At most one is open for each learner and course."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount_minor > 0", name="amount_minor"),
        CheckConstraint("gateway IN ('stripe', 'sandbox')", name="gateway"),
        CheckConstraint("method IN ('stripe', 'paypal', 'bank_transfer')", name="method"),
        CheckConstraint(
            "status IN ('pending', 'processing', 'completed', 'failed', 'cancelled', 'refunded')", name="status"
        ),
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("tenant_id", "learner_id", "idempotency_key"),
        ForeignKeyConstraint(["tenant_id", "course_id"], ["courses.tenant_id", "courses.id"]),
        Index(
            "uq_payments_open",
            "tenant_id",
            "learner_id",
            "course_id",
            unique=True,
            postgresql_where=text("status IN ('pending', 'processing')"),
        ),
        Index(None, "tenant_id", "course_id"),
        Index(None, "learner_id", "created_at"),
    )

    course_id: Mapped[UUID]
    learner_id: Mapped[UUID] = mapped_column(ForeignKey("people.id"))
    amount_minor: Mapped[int]
    currency: Mapped[str]
    gateway: Mapped[str]
    method: Mapped[str]
    status: Mapped[str] = mapped_column(default="pending")
    intent_reference: Mapped[str | None] = mapped_column(index=True)
    idempotency_key: Mapped[str | None]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    failed_at: Mapped[datetime | None]


class GatewayEvent(Base):
    """An event that a gateway sent, by its own id, so that a repeated one is one. What it means is asked of the
    gateway again."""

    __tablename__ = "gateway_events"

    id: Mapped[str] = mapped_column(primary_key=True)
    gateway: Mapped[str]
    type: Mapped[str]
    intent_reference: Mapped[str | None]
    received_at: Mapped[datetime] = mapped_column(index=True)

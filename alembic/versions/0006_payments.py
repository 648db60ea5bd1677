"""Payments, and the events that gateways sent.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE payments (
    id uuid CONSTRAINT pk_payments PRIMARY KEY,
    tenant_id uuid NOT NULL,
    course_id uuid NOT NULL,
    learner_id uuid NOT NULL CONSTRAINT fk_payments_learner_id REFERENCES people,
    amount_minor integer NOT NULL CONSTRAINT ck_payments_amount_minor CHECK (amount_minor > 0),
    currency text NOT NULL,
    gateway text NOT NULL CONSTRAINT ck_payments_gateway CHECK (gateway IN ('stripe', 'sandbox')),
    method text NOT NULL CONSTRAINT ck_payments_method CHECK (method IN ('stripe', 'paypal', 'bank_transfer')),
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT ck_payments_status CHECK (status IN ('pending', 'processing', 'completed', 'failed', 'cancelled', 'refunded')),
    intent_reference text,
    idempotency_key text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    completed_at timestamptz,
    failed_at timestamptz,
    CONSTRAINT uq_payments_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_payments_tenant_id_learner_id_idempotency_key UNIQUE (tenant_id, learner_id, idempotency_key),
    CONSTRAINT fk_payments_tenant_id_course_id FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id)
);
CREATE UNIQUE INDEX uq_payments_open ON payments (tenant_id, learner_id, course_id) WHERE status IN ('pending', 'processing');
CREATE INDEX ix_payments_tenant_id_course_id ON payments (tenant_id, course_id);
CREATE INDEX ix_payments_learner_id_created_at ON payments (learner_id, created_at);
CREATE INDEX ix_payments_intent_reference ON payments (intent_reference);
CREATE TABLE gateway_events (
    id text CONSTRAINT pk_gateway_events PRIMARY KEY,
    gateway text NOT NULL,
    type text NOT NULL,
    intent_reference text,
    received_at timestamptz NOT NULL
);
CREATE INDEX ix_gateway_events_received_at ON gateway_events (received_at);
"""

SUBJECTS = """
CREATE FUNCTION subject_payment(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT p.tenant_id, p.course_id, p.learner_id, false FROM payments p WHERE p.id = $1';
"""


def upgrade() -> None:
    op.execute(TABLES)
    for statements in (rls.tenant_scoped("payments", own="learner_id"), rls.system_only("gateway_events")):
        for statement in statements:
            op.execute(statement)
    op.execute(SUBJECTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION subject_payment")
    op.execute("DROP TABLE gateway_events")
    op.execute("DROP TABLE payments")

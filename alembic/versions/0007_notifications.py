"""Notifications.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE notifications (
    id uuid CONSTRAINT pk_notifications PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_notifications_tenant_id REFERENCES organizations,
    user_id uuid NOT NULL CONSTRAINT fk_notifications_user_id REFERENCES people ON DELETE CASCADE,
    type text NOT NULL,
    category text NOT NULL,
    priority text NOT NULL DEFAULT 'normal'
        CONSTRAINT ck_notifications_priority CHECK (priority IN ('low', 'normal', 'high', 'urgent')),
    title text NOT NULL,
    message text NOT NULL,
    data jsonb NOT NULL DEFAULT '{}',
    source_id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    read_at timestamptz,
    CONSTRAINT uq_notifications_tenant_id_user_id_type_source_id UNIQUE (tenant_id, user_id, type, source_id)
);
CREATE INDEX ix_notifications_user_id_created_at_id ON notifications (user_id, created_at, id);
CREATE INDEX ix_notifications_user_id_unread ON notifications (user_id) WHERE read_at IS NULL;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for statement in rls.person_scoped("notifications"):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE notifications")

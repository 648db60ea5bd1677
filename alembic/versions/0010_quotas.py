"""What organizations, courses and people use of what a plan limits, and what is reserved for work under way.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# ``used`` holds what is reserved too: a reservation that is settled or released corrects it.
TABLES = """
CREATE TABLE quota_usage (
    tenant_id uuid NOT NULL CONSTRAINT fk_quota_usage_tenant_id REFERENCES organizations,
    resource text NOT NULL,
    scope text NOT NULL CONSTRAINT ck_quota_usage_scope CHECK (scope IN ('organization', 'course', 'person')),
    subject_id uuid NOT NULL,
    used bigint NOT NULL CONSTRAINT ck_quota_usage_used CHECK (used >= 0),
    CONSTRAINT pk_quota_usage PRIMARY KEY (tenant_id, resource, scope, subject_id)
);
CREATE TABLE quota_holds (
    id uuid CONSTRAINT pk_quota_holds PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_quota_holds_tenant_id REFERENCES organizations,
    resource text NOT NULL,
    course_id uuid,
    person_id uuid,
    amount bigint NOT NULL CONSTRAINT ck_quota_holds_amount CHECK (amount >= 0),
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_quota_holds_tenant_id ON quota_holds (tenant_id);
CREATE INDEX ix_quota_holds_expires_at ON quota_holds (expires_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
    for statement in (*rls.tenant_scoped("quota_usage"), *rls.tenant_scoped("quota_holds")):
        op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE quota_holds; DROP TABLE quota_usage")

"""Entitlements and enrollments.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE entitlements (
    id uuid CONSTRAINT pk_entitlements PRIMARY KEY,
    tenant_id uuid NOT NULL,
    course_id uuid NOT NULL,
    person_id uuid NOT NULL CONSTRAINT fk_entitlements_person_id REFERENCES people ON DELETE CASCADE,
    source text NOT NULL CONSTRAINT ck_entitlements_source CHECK (source IN ('payment')),
    source_id uuid NOT NULL,
    granted_at timestamptz NOT NULL,
    CONSTRAINT uq_entitlements_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_entitlements_tenant_id_course_id_person_id UNIQUE (tenant_id, course_id, person_id),
    CONSTRAINT fk_entitlements_tenant_id_course_id FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_entitlements_person_id ON entitlements (person_id);
CREATE TABLE enrollments (
    id uuid CONSTRAINT pk_enrollments PRIMARY KEY,
    tenant_id uuid NOT NULL,
    course_id uuid NOT NULL,
    person_id uuid NOT NULL CONSTRAINT fk_enrollments_person_id REFERENCES people ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'active'
        CONSTRAINT ck_enrollments_status CHECK (status IN ('active', 'completed', 'dropped', 'suspended')),
    progress_percentage integer NOT NULL DEFAULT 0
        CONSTRAINT ck_enrollments_progress_percentage CHECK (progress_percentage BETWEEN 0 AND 100),
    enrolled_at timestamptz NOT NULL,
    completed_at timestamptz,
    last_accessed timestamptz NOT NULL,
    CONSTRAINT uq_enrollments_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_enrollments_tenant_id_course_id_person_id UNIQUE (tenant_id, course_id, person_id),
    CONSTRAINT fk_enrollments_tenant_id_course_id FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_enrollments_person_id_enrolled_at ON enrollments (person_id, enrolled_at);
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table in ("entitlements", "enrollments"):
        for statement in rls.tenant_scoped(table, own="person_id"):
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE enrollments")
    op.execute("DROP TABLE entitlements")

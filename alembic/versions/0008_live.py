"""Live classes, attendance, and the intervals that attendance is made of.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE live_classes (
    id uuid CONSTRAINT pk_live_classes PRIMARY KEY,
    tenant_id uuid NOT NULL,
    course_id uuid NOT NULL,
    instructor_id uuid NOT NULL CONSTRAINT fk_live_classes_instructor_id REFERENCES people,
    instructor_name text NOT NULL,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    scheduled_at timestamptz NOT NULL,
    duration_minutes integer NOT NULL CONSTRAINT ck_live_classes_duration_minutes CHECK (duration_minutes BETWEEN 1 AND 1440),
    status text NOT NULL DEFAULT 'scheduled'
        CONSTRAINT ck_live_classes_status CHECK (status IN ('scheduled', 'live', 'completed', 'cancelled')),
    join_url text NOT NULL,
    started_at timestamptz,
    ended_at timestamptz,
    noticed_at timestamptz,
    measured_at timestamptz,
    unmeasured boolean NOT NULL DEFAULT false,
    attended_count integer NOT NULL DEFAULT 0,
    idempotency_key text,
    idempotency_digest text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_live_classes_times CHECK (
        (status NOT IN ('live', 'completed') OR started_at IS NOT NULL) AND (status <> 'completed' OR ended_at IS NOT NULL)),
    CONSTRAINT uq_live_classes_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_live_classes_tenant_id_instructor_id_idempotency_key UNIQUE (tenant_id, instructor_id, idempotency_key),
    CONSTRAINT uq_live_classes_tenant_id_instructor_id_idempotency_digest
        UNIQUE (tenant_id, instructor_id, idempotency_digest),
    CONSTRAINT fk_live_classes_tenant_id_course_id
        FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_live_classes_instructor_id ON live_classes (instructor_id);
CREATE INDEX ix_live_classes_course_id_tenant_id_scheduled_at ON live_classes (course_id, tenant_id, scheduled_at);
CREATE INDEX ix_live_classes_course_id_tenant_id_created_at ON live_classes (course_id, tenant_id, created_at);
CREATE INDEX ix_live_classes_course_id_tenant_id_title ON live_classes (course_id, tenant_id, title);
CREATE INDEX ix_live_classes_unmeasured ON live_classes (measured_at) WHERE unmeasured;
CREATE TABLE attendance (
    id uuid CONSTRAINT pk_attendance PRIMARY KEY,
    tenant_id uuid NOT NULL,
    class_id uuid NOT NULL,
    person_id uuid NOT NULL CONSTRAINT fk_attendance_person_id REFERENCES people ON DELETE CASCADE,
    is_learner boolean NOT NULL,
    marked_status text
        CONSTRAINT ck_attendance_marked_status CHECK (marked_status IN ('present', 'absent', 'partial', 'late')),
    questions_asked integer NOT NULL DEFAULT 0,
    first_joined_at timestamptz,
    away_since timestamptz,
    is_present boolean NOT NULL DEFAULT false,
    told_present boolean NOT NULL DEFAULT false,
    changed boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT uq_attendance_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_attendance_tenant_id_class_id_person_id UNIQUE (tenant_id, class_id, person_id),
    CONSTRAINT fk_attendance_tenant_id_class_id
        FOREIGN KEY (tenant_id, class_id) REFERENCES live_classes (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_attendance_person_id ON attendance (person_id);
CREATE INDEX ix_attendance_tenant_id_class_id_created_at ON attendance (tenant_id, class_id, created_at);
CREATE INDEX ix_attendance_untold ON attendance (class_id) WHERE changed OR told_present <> is_present;
CREATE INDEX ix_attendance_away_since ON attendance (away_since) WHERE is_present AND away_since IS NOT NULL;
CREATE TABLE attendance_intervals (
    id uuid CONSTRAINT pk_attendance_intervals PRIMARY KEY,
    tenant_id uuid NOT NULL,
    class_id uuid NOT NULL,
    person_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    joined_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL,
    left_at timestamptz,
    ended_by text
        CONSTRAINT ck_attendance_intervals_ended_by CHECK (ended_by IN ('left', 'closed', 'lost', 'class_ended')),
    CONSTRAINT ck_attendance_intervals_end CHECK ((left_at IS NULL) = (ended_by IS NULL) AND left_at >= joined_at),
    CONSTRAINT fk_attendance_intervals_tenant_id_class_id_person_id
        FOREIGN KEY (tenant_id, class_id, person_id) REFERENCES attendance (tenant_id, class_id, person_id) ON DELETE CASCADE
);
CREATE INDEX ix_attendance_intervals_class_id_person_id_tenant_id ON attendance_intervals (class_id, person_id, tenant_id);
CREATE UNIQUE INDEX uq_attendance_intervals_open ON attendance_intervals (tenant_id, class_id, connection_id)
    WHERE left_at IS NULL;
"""

# One's own classes are those that one teaches and those of the courses that one stands in, over all organizations.
OWN = f"""
CREATE POLICY own ON live_classes FOR SELECT TO edurise_app USING ({rls.SELF_SCOPE} AND (instructor_id = {rls.PERSON} OR EXISTS (
    SELECT 1 FROM standings s
     WHERE s.person_id = {rls.PERSON} AND s.course_id = live_classes.course_id AND s.tenant_id = live_classes.tenant_id)))
"""

SUBJECTS = """
CREATE FUNCTION subject_live_class(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT l.tenant_id, l.course_id, NULL::uuid, c.status = ''published''
  FROM live_classes l JOIN courses c ON c.tenant_id = l.tenant_id AND c.id = l.course_id WHERE l.id = $1';
"""

# What a door says when it opens, and the position that this is the state of: one snapshot, and a plan that the session
# keeps. A class of a thousand comes at once, and planning the parts of it anew for each of them cost more than reading.
ENTRANCE = """
CREATE FUNCTION live_entrance(p_class uuid, p_person uuid, p_channel text)
RETURNS TABLE (
    head bigint, epoch uuid, participants bigint, has_row boolean, course_title text, total_enrollments integer,
    id uuid, course_id uuid, instructor_id uuid, instructor_name text, title text, description text,
    scheduled_at timestamptz, duration_minutes integer, status text, join_url text, started_at timestamptz,
    ended_at timestamptz, attended_count integer, created_at timestamptz, updated_at timestamptz)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT h.head, h.epoch,
           (SELECT count(*) FROM attendance a
             WHERE a.tenant_id = l.tenant_id AND a.class_id = l.id AND a.told_present),
           EXISTS (SELECT FROM attendance a
                    WHERE a.tenant_id = l.tenant_id AND a.class_id = l.id AND a.person_id = p_person),
           c.title, c.total_enrollments, l.id, l.course_id, l.instructor_id, l.instructor_name, l.title, l.description,
           l.scheduled_at, l.duration_minutes, l.status, l.join_url, l.started_at, l.ended_at, l.attended_count,
           l.created_at, l.updated_at
      FROM live_classes l
      JOIN courses c ON c.tenant_id = l.tenant_id AND c.id = l.course_id
      LEFT JOIN channels h ON h.name = p_channel
     WHERE l.id = p_class;
END $$;
"""


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(ENTRANCE)
    for statements in (
        rls.tenant_scoped("live_classes"),
        rls.tenant_scoped("attendance", own="person_id"),
        rls.tenant_scoped("attendance_intervals", own="person_id"),
    ):
        for statement in statements:
            op.execute(statement)
    op.execute(OWN)
    op.execute(SUBJECTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION live_entrance")
    op.execute("DROP FUNCTION subject_live_class")
    for table in ("attendance_intervals", "attendance", "live_classes"):
        op.execute(f"DROP TABLE {table}")

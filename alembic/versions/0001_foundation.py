"""Organizations, people, memberships, standings, sessions, and enter().

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MAIN = "00000000-0000-7000-8000-000000000001"

TABLES = """
CREATE TABLE organizations (
    id uuid CONSTRAINT pk_organizations PRIMARY KEY,
    name text NOT NULL,
    subdomain text NOT NULL CONSTRAINT uq_organizations_subdomain UNIQUE,
    description text NOT NULL DEFAULT '',
    primary_color text NOT NULL DEFAULT '#1F4E79',
    secondary_color text NOT NULL DEFAULT '#F2B134',
    plan text NOT NULL DEFAULT 'basic' CONSTRAINT ck_organizations_plan CHECK (plan IN ('basic', 'pro', 'enterprise')),
    currency text NOT NULL DEFAULT 'USD' CONSTRAINT ck_organizations_currency CHECK (currency ~ '^[A-Z]{3}$'),
    timezone text NOT NULL DEFAULT 'UTC',
    language text NOT NULL DEFAULT 'en',
    course_review boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE people (
    id uuid CONSTRAINT pk_people PRIMARY KEY,
    email text NOT NULL,
    email_key text GENERATED ALWAYS AS (lower(email)) STORED CONSTRAINT uq_people_email_key UNIQUE,
    first_name text NOT NULL,
    last_name text NOT NULL,
    language text NOT NULL DEFAULT 'en',
    timezone text NOT NULL DEFAULT 'UTC',
    is_platform_admin boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    token_version integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_login_at timestamptz
);
CREATE TABLE credentials (
    person_id uuid CONSTRAINT pk_credentials PRIMARY KEY CONSTRAINT fk_credentials_person_id REFERENCES people ON DELETE CASCADE,
    password_hash text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE memberships (
    id uuid CONSTRAINT pk_memberships PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_memberships_tenant_id REFERENCES organizations,
    person_id uuid NOT NULL CONSTRAINT fk_memberships_person_id REFERENCES people ON DELETE CASCADE,
    role text NOT NULL CONSTRAINT ck_memberships_role CHECK (role IN ('student', 'teacher', 'admin')),
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_memberships_tenant_id_person_id UNIQUE (tenant_id, person_id),
    CONSTRAINT uq_memberships_tenant_id_id UNIQUE (tenant_id, id)
);
CREATE INDEX ix_memberships_person_id ON memberships (person_id);
CREATE TABLE teacher_applications (
    id uuid CONSTRAINT pk_teacher_applications PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_teacher_applications_tenant_id REFERENCES organizations,
    person_id uuid NOT NULL CONSTRAINT fk_teacher_applications_person_id REFERENCES people ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'pending'
        CONSTRAINT ck_teacher_applications_status CHECK (status IN ('pending', 'approved', 'rejected')),
    rejection_reason text NOT NULL DEFAULT '',
    submitted_at timestamptz NOT NULL DEFAULT now(),
    reviewed_at timestamptz,
    reviewed_by uuid CONSTRAINT fk_teacher_applications_reviewed_by REFERENCES people ON DELETE SET NULL,
    CONSTRAINT uq_teacher_applications_tenant_id_person_id UNIQUE (tenant_id, person_id),
    CONSTRAINT uq_teacher_applications_tenant_id_id UNIQUE (tenant_id, id)
);
CREATE INDEX ix_teacher_applications_person_id ON teacher_applications (person_id);
CREATE INDEX ix_teacher_applications_reviewed_by ON teacher_applications (reviewed_by);
CREATE INDEX ix_teacher_applications_tenant_id_submitted_at ON teacher_applications (tenant_id, submitted_at);
CREATE TABLE standings (
    tenant_id uuid NOT NULL CONSTRAINT fk_standings_tenant_id REFERENCES organizations,
    course_id uuid NOT NULL,
    person_id uuid NOT NULL CONSTRAINT fk_standings_person_id REFERENCES people ON DELETE CASCADE,
    kind text NOT NULL CONSTRAINT ck_standings_kind CHECK (kind IN ('staff', 'learner')),
    until timestamptz,
    CONSTRAINT pk_standings PRIMARY KEY (tenant_id, course_id, person_id, kind)
);
CREATE INDEX ix_standings_person_id_course_id ON standings (person_id, course_id);
CREATE TABLE sessions (
    id uuid CONSTRAINT pk_sessions PRIMARY KEY,
    person_id uuid NOT NULL CONSTRAINT fk_sessions_person_id REFERENCES people ON DELETE CASCADE,
    tenant_id uuid CONSTRAINT fk_sessions_tenant_id REFERENCES organizations,
    is_pinned boolean NOT NULL DEFAULT false,
    user_agent text NOT NULL DEFAULT '',
    ip text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX ix_sessions_person_id ON sessions (person_id);
CREATE INDEX ix_sessions_tenant_id ON sessions (tenant_id);
CREATE INDEX ix_sessions_expires_at ON sessions (expires_at);
CREATE TABLE refresh_tokens (
    id uuid CONSTRAINT pk_refresh_tokens PRIMARY KEY,
    session_id uuid NOT NULL CONSTRAINT fk_refresh_tokens_session_id REFERENCES sessions ON DELETE CASCADE,
    token_hash text NOT NULL CONSTRAINT uq_refresh_tokens_token_hash UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    rotated_at timestamptz
);
CREATE INDEX ix_refresh_tokens_session_id ON refresh_tokens (session_id);
CREATE TABLE revocations (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_revocations PRIMARY KEY,
    session_id uuid NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX ix_revocations_expires_at ON revocations (expires_at);
CREATE TABLE signing_keys (
    kid text CONSTRAINT pk_signing_keys PRIMARY KEY,
    generation integer NOT NULL CONSTRAINT uq_signing_keys_generation UNIQUE,
    sealed_private_key bytea NOT NULL,
    public_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    retired_at timestamptz
);
"""

PEOPLE = f"""
CREATE POLICY seen ON people FOR SELECT TO edurise_app USING (
    id = {rls.PERSON}
    OR EXISTS (SELECT 1 FROM memberships m WHERE m.person_id = people.id AND m.tenant_id = {rls.TENANT})
);
CREATE POLICY changed ON people FOR UPDATE TO edurise_app USING (id = {rls.PERSON}) WITH CHECK (id = {rls.PERSON});
GRANT SELECT ON people TO edurise_app;
GRANT UPDATE (first_name, last_name, language, timezone) ON people TO edurise_app;
"""

# A capability registers a kind of row with enter() by making a function subject_<kind>(uuid) that returns the row's organization, its
# course if it belongs to one, its owner if it has one, and whether anybody may see it. enter() itself never changes when one is added.
ENTER = """
CREATE FUNCTION enter(p_user uuid, p_wanted uuid, p_kind text, p_id uuid, p_service boolean, p_version integer)
RETURNS TABLE (tenant uuid, grades text[], member_role text, known boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant uuid := p_wanted;
    v_course uuid;
    v_owner uuid;
    v_published boolean := true;
    v_grades text[] := '{}';
    v_role text;
    v_member boolean;
    v_platform boolean;
BEGIN
    IF p_kind = 'mine' THEN
        PERFORM set_config('app.scope', 'self', true);
    ELSIF p_kind IS NOT NULL THEN
        EXECUTE format('SELECT tenant_id, course_id, owner_id, published FROM %I($1)', 'subject_' || p_kind)
            INTO v_tenant, v_course, v_owner, v_published USING p_id;
        IF v_tenant IS NULL THEN
            RETURN QUERY SELECT NULL::uuid, '{}'::text[], NULL::text, false;
            RETURN;
        END IF;
    END IF;
    PERFORM set_config('app.tenant', coalesce(v_tenant::text, ''), true), set_config('app.user', coalesce(p_user::text, ''), true);
    IF p_service THEN
        v_grades := v_grades || 'service'::text;
    ELSIF p_user IS NOT NULL THEN
        SELECT p.is_platform_admin, m.role, coalesce(m.is_active AND o.is_active, false) INTO v_platform, v_role, v_member
          FROM people p
          LEFT JOIN memberships m ON m.person_id = p.id AND m.tenant_id = v_tenant
          LEFT JOIN organizations o ON o.id = v_tenant
         WHERE p.id = p_user AND p.is_active AND (p_version IS NULL OR p.token_version = p_version);
        IF FOUND THEN
            v_grades := v_grades || 'person'::text;
            IF v_platform THEN v_grades := v_grades || 'platform'::text; END IF;
            IF v_member THEN
                v_grades := v_grades || 'member'::text;
                IF v_role = 'admin' THEN v_grades := v_grades || 'administrator'::text; END IF;
                IF v_role = 'teacher' THEN v_grades := v_grades || 'teacher'::text; END IF;
            END IF;
            IF v_owner = p_user THEN v_grades := v_grades || 'owner'::text; END IF;
            IF v_course IS NOT NULL THEN
                v_grades := v_grades || ARRAY(
                    SELECT s.kind FROM standings s
                     WHERE s.tenant_id = v_tenant AND s.course_id = v_course AND s.person_id = p_user
                       AND (s.until IS NULL OR s.until > now()));
            END IF;
        END IF;
    END IF;
    IF v_published THEN v_grades := v_grades || 'public'::text; END IF;
    RETURN QUERY SELECT v_tenant, v_grades, CASE WHEN v_member THEN v_role END, true;
END $$;
REVOKE ALL ON FUNCTION enter FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enter TO edurise_app, edurise_system;

CREATE FUNCTION subject_organization(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT o.id, NULL::uuid, NULL::uuid, o.is_active FROM organizations o WHERE o.id = $1';
CREATE FUNCTION subject_application(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT a.tenant_id, NULL::uuid, a.person_id, false FROM teacher_applications a WHERE a.id = $1';
"""

DROPPED = (
    "signing_keys", "revocations", "refresh_tokens", "sessions", "standings", "teacher_applications",
    "memberships", "credentials", "people", "organizations",
)  # fmt: skip


def upgrade() -> None:
    op.execute(TABLES)
    for statements in (
        rls.tenant_scoped("memberships", own="person_id"),
        rls.tenant_scoped("teacher_applications", own="person_id"),
        rls.tenant_scoped("standings", own="person_id"),
        rls.system_only("people"),
        *(
            rls.system_only(name)
            for name in ("credentials", "sessions", "refresh_tokens", "revocations", "signing_keys")
        ),
    ):
        for statement in statements:
            op.execute(statement)
    op.execute(PEOPLE)
    op.execute(
        "GRANT SELECT ON organizations TO edurise_app; GRANT SELECT, INSERT, UPDATE ON organizations TO edurise_system"
    )
    op.execute("GRANT SELECT ON alembic_version TO edurise_system")
    op.execute(ENTER)
    op.execute(f"INSERT INTO organizations (id, name, subdomain) VALUES ('{MAIN}', 'EduRise', 'main')")


def downgrade() -> None:
    op.execute("DROP FUNCTION enter; DROP FUNCTION subject_organization; DROP FUNCTION subject_application")
    op.execute("DROP POLICY seen ON people")
    for table in DROPPED:
        op.execute(f"DROP TABLE {table}")

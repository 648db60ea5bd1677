"""Organizations: settings, invitations, what a membership suspends, counted plans, and enter() with a second factor.

Revision ID: 0013
Revises: 0012
"""

from __future__ import annotations

import runpy
from pathlib import Path

from alembic import op
from edurise import rls

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MAIN = "00000000-0000-7000-8000-000000000001"

TABLES = """
ALTER TABLE organizations
    ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN logo_path text;
CREATE INDEX ix_organizations_name_id ON organizations (name, id);
CREATE INDEX ix_organizations_created_at_id ON organizations (created_at, id);
ALTER TABLE standings ADD COLUMN is_suspended boolean NOT NULL DEFAULT false;
CREATE TABLE invitations (
    id uuid CONSTRAINT pk_invitations PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_invitations_tenant_id REFERENCES organizations,
    email text NOT NULL,
    email_key text GENERATED ALWAYS AS (lower(email)) STORED,
    first_name text NOT NULL DEFAULT '',
    last_name text NOT NULL DEFAULT '',
    language text NOT NULL DEFAULT 'en',
    role text NOT NULL CONSTRAINT ck_invitations_role CHECK (role IN ('student', 'teacher', 'admin')),
    invited_by uuid CONSTRAINT fk_invitations_invited_by REFERENCES people ON DELETE SET NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    accepted_at timestamptz,
    accepted_by uuid CONSTRAINT fk_invitations_accepted_by REFERENCES people ON DELETE SET NULL,
    revoked_at timestamptz,
    CONSTRAINT uq_invitations_tenant_id_id UNIQUE (tenant_id, id)
);
CREATE UNIQUE INDEX uq_invitations_open ON invitations (tenant_id, email_key)
    WHERE accepted_at IS NULL AND revoked_at IS NULL;
CREATE INDEX ix_invitations_tenant_id_created_at ON invitations (tenant_id, created_at);
CREATE INDEX ix_invitations_invited_by ON invitations (invited_by);
CREATE INDEX ix_invitations_accepted_by ON invitations (accepted_by);
"""

ORGANIZATIONS = f"""
CREATE POLICY seen ON organizations FOR SELECT TO edurise_app USING (true);
CREATE POLICY changed ON organizations FOR UPDATE TO edurise_app USING (id = {rls.TENANT}) WITH CHECK (id = {rls.TENANT});
GRANT UPDATE (name, subdomain, description, primary_color, secondary_color, timezone, language, settings, logo_path, updated_at)
    ON organizations TO edurise_app;
"""

# A standing counts only while a membership carries it: a learner's while it is active, a teacher's while it also has the
# role of one. The memberships decide, in the transaction that changes them; the policies hide what is suspended.
SUSPENSION = """
CREATE FUNCTION carries(p_kind text, p_role text, p_active boolean) RETURNS boolean LANGUAGE sql IMMUTABLE AS
    $$SELECT p_active AND (p_kind = 'learner' OR p_role IN ('teacher', 'admin'))$$;
CREATE FUNCTION suspend_standings() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN  -- who comes back learns again, and teaches only if told to
        DELETE FROM standings WHERE tenant_id = OLD.tenant_id AND person_id = OLD.person_id AND kind = 'staff';
        UPDATE standings SET is_suspended = true WHERE tenant_id = OLD.tenant_id AND person_id = OLD.person_id;
        RETURN NULL;
    END IF;
    UPDATE standings SET is_suspended = NOT carries(kind, NEW.role, NEW.is_active)
     WHERE tenant_id = NEW.tenant_id AND person_id = NEW.person_id
       AND is_suspended = carries(kind, NEW.role, NEW.is_active);
    RETURN NULL;
END $$;
CREATE TRIGGER suspend_standings AFTER INSERT OR DELETE OR UPDATE OF role, is_active ON memberships
    FOR EACH ROW EXECUTE FUNCTION suspend_standings();
CREATE FUNCTION begin_standing() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    NEW.is_suspended := NOT coalesce((SELECT carries(NEW.kind, m.role, m.is_active) FROM memberships m
        WHERE m.tenant_id = NEW.tenant_id AND m.person_id = NEW.person_id), false);
    RETURN NEW;
END $$;
CREATE TRIGGER begin_standing BEFORE INSERT ON standings FOR EACH ROW EXECUTE FUNCTION begin_standing();
REVOKE ALL ON FUNCTION suspend_standings, begin_standing FROM PUBLIC;
UPDATE standings s SET is_suspended = true WHERE NOT EXISTS (
    SELECT FROM memberships m WHERE m.tenant_id = s.tenant_id AND m.person_id = s.person_id
       AND carries(s.kind, m.role, m.is_active));
"""

POLICED = (
    "DROP POLICY tenant ON standings",
    "DROP POLICY own ON standings",
    f"""CREATE POLICY tenant ON standings TO edurise_app USING (tenant_id = {rls.TENANT} AND NOT is_suspended)
        WITH CHECK (tenant_id = {rls.TENANT})""",
    f"""CREATE POLICY own ON standings FOR SELECT TO edurise_app
        USING ({rls.SELF_SCOPE} AND person_id = {rls.PERSON} AND NOT is_suspended)""",
)
POLICED_BEFORE = (
    "DROP POLICY tenant ON standings",
    "DROP POLICY own ON standings",
    f"CREATE POLICY tenant ON standings TO edurise_app USING (tenant_id = {rls.TENANT}) WITH CHECK (tenant_id = {rls.TENANT})",
    f"CREATE POLICY own ON standings FOR SELECT TO edurise_app USING ({rls.SELF_SCOPE} AND person_id = {rls.PERSON})",
)

# What a person has over all organizations is found by the person alone; a confined session finds its organization's.
OF_A_PERSON = ("notifications", "ai_conversations", "ai_messages", "ai_questions", "uploads", "upload_parts")

# ``p_only`` is the organization that a session is confined to: one that its identity provider opened. Elsewhere such a
# session is nobody's. ``self`` says that the session may act on the person, not only on a membership. A membership
# whose organization demands a second factor or a verified address that the person lacks counts for nothing but the
# grade that says so, except where the organization's own provider let them in: it has verified the address, and asks
# for what factors the organization wants.
ENTER = f"""
CREATE FUNCTION enter(
    p_user uuid, p_wanted uuid, p_kind text, p_id uuid, p_service boolean, p_version integer, p_only uuid)
RETURNS TABLE (tenant uuid, grades text[], member_role text, known boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant uuid := coalesce(p_only, p_wanted);
    v_course uuid;
    v_owner uuid;
    v_published boolean := true;
    v_grades text[] := '{{}}';
    v_role text;
    v_member boolean;
    v_platform boolean;
    v_proven boolean;
    v_demanded boolean;
    v_unverified boolean;
BEGIN
    IF p_kind = 'mine' THEN
        IF p_only IS NULL THEN PERFORM set_config('app.scope', 'self', true); END IF;
    ELSIF p_kind IS NOT NULL THEN
        EXECUTE format('SELECT tenant_id, course_id, owner_id, published FROM %I($1)', 'subject_' || p_kind)
            INTO v_tenant, v_course, v_owner, v_published USING p_id;
        IF v_tenant IS NULL THEN
            RETURN QUERY SELECT NULL::uuid, '{{}}'::text[], NULL::text, false;
            RETURN;
        END IF;
    END IF;
    PERFORM set_config('app.tenant', coalesce(v_tenant::text, ''), true), set_config('app.user', coalesce(p_user::text, ''), true),
            set_config('app.only', coalesce(p_only::text, ''), true);
    IF p_service THEN
        v_grades := v_grades || 'service'::text;
    ELSIF p_user IS NOT NULL AND p_only IS NOT NULL AND v_tenant IS DISTINCT FROM p_only THEN
        v_grades := v_grades || 'confined'::text;
        PERFORM set_config('app.user', '', true);
    ELSIF p_user IS NOT NULL THEN
        SELECT p.is_platform_admin AND p_only IS NULL, m.role, coalesce(m.is_active AND o.is_active, false),
               p.has_second_factor, coalesce(jsonb_exists(o.settings -> 'otp_roles', m.role), false),
               p.email_verified_at IS NULL AND coalesce((o.settings ->> 'require_email_verification')::boolean, false)
          INTO v_platform, v_role, v_member, v_proven, v_demanded, v_unverified
          FROM people p
          LEFT JOIN memberships m ON m.person_id = p.id AND m.tenant_id = v_tenant
          LEFT JOIN organizations o ON o.id = v_tenant
         WHERE p.id = p_user AND p.is_active AND (p_version IS NULL OR p.token_version = p_version);
        IF FOUND THEN
            v_grades := v_grades || 'person'::text;
            IF p_only IS NULL THEN v_grades := v_grades || 'self'::text; END IF;
            IF v_platform AND NOT v_proven AND (
                SELECT jsonb_exists(settings -> 'otp_roles', 'platform') FROM organizations WHERE id = '{MAIN}') THEN
                v_platform := false;
                v_grades := v_grades || 'unproven'::text;
            END IF;
            IF v_platform THEN v_grades := v_grades || 'platform'::text; END IF;
            IF v_member AND p_only IS NULL AND (v_unverified OR (v_demanded AND NOT v_proven)) THEN
                v_member := false;
                v_owner := NULL;
                v_grades := v_grades || CASE WHEN v_unverified THEN 'unverified'::text ELSE 'unproven' END;
            ELSIF v_course IS NOT NULL THEN
                v_grades := v_grades || ARRAY(
                    SELECT s.kind FROM standings s
                     WHERE s.tenant_id = v_tenant AND s.course_id = v_course AND s.person_id = p_user
                       AND NOT s.is_suspended AND (s.until IS NULL OR s.until > now()));
            END IF;
            IF v_member THEN
                v_grades := v_grades || 'member'::text;
                IF v_role = 'admin' THEN v_grades := v_grades || 'administrator'::text; END IF;
                IF v_role = 'teacher' THEN v_grades := v_grades || 'teacher'::text; END IF;
            END IF;
            IF v_owner = p_user THEN v_grades := v_grades || 'owner'::text; END IF;
        END IF;
    END IF;
    IF v_published THEN v_grades := v_grades || 'public'::text; END IF;
    RETURN QUERY SELECT v_tenant, v_grades, CASE WHEN v_member THEN v_role END, true;
END $$;
REVOKE ALL ON FUNCTION enter FROM PUBLIC;
GRANT EXECUTE ON FUNCTION enter TO edurise_app, edurise_system;
"""

FRESH = """
CREATE FUNCTION is_fresh(p_user uuid, p_session uuid, p_since timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT coalesce((SELECT NOT has_second_factor FROM people WHERE id = p_user), false)
        OR EXISTS (SELECT FROM sessions WHERE id = p_session AND person_id = p_user AND proved_at >= p_since)
$$;
REVOKE ALL ON FUNCTION is_fresh FROM PUBLIC;
GRANT EXECUTE ON FUNCTION is_fresh TO edurise_app;
"""

# An administrator changes a name only while its person belongs nowhere else; who belongs here alone is asked as the
# owner, for the rows of other organizations are hidden from the administrator.
NAMES = f"""
CREATE FUNCTION rename_member(p_person uuid, p_first text, p_last text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM memberships WHERE person_id = p_person AND tenant_id = {rls.TENANT})
       OR EXISTS (SELECT FROM memberships WHERE person_id = p_person AND tenant_id <> {rls.TENANT}) THEN
        RETURN false;
    END IF;
    UPDATE people SET first_name = p_first, last_name = p_last WHERE id = p_person AND NOT is_platform_admin;
    RETURN FOUND;
END $$;
REVOKE ALL ON FUNCTION rename_member FROM PUBLIC;
GRANT EXECUTE ON FUNCTION rename_member TO edurise_app;
CREATE FUNCTION subject_invitation(uuid)
RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT i.tenant_id, NULL::uuid, NULL::uuid, false FROM invitations i WHERE i.id = $1';
"""

UNREAD = f"""
CREATE FUNCTION unread_everywhere() RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM notifications WHERE user_id = {rls.PERSON} AND read_at IS NULL
$$;
REVOKE ALL ON FUNCTION unread_everywhere FROM PUBLIC;
GRANT EXECUTE ON FUNCTION unread_everywhere TO edurise_app;
"""

COUNTED = """
INSERT INTO quota_usage (tenant_id, resource, scope, subject_id, used)
SELECT tenant_id, 'users', 'organization', tenant_id, count(*) FROM memberships WHERE is_active GROUP BY tenant_id;
INSERT INTO quota_usage (tenant_id, resource, scope, subject_id, used)
SELECT tenant_id, 'courses', 'organization', tenant_id, count(*) FROM courses GROUP BY tenant_id;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for statement in (*rls.system_only("organizations"), *rls.tenant_scoped("invitations")):
        op.execute(statement)
    op.execute(ORGANIZATIONS)
    op.execute(SUSPENSION)
    for statement in POLICED:
        op.execute(statement)
    for table in OF_A_PERSON:
        op.execute(rls.confined(table))
    op.execute("DROP FUNCTION enter")
    op.execute(ENTER)
    op.execute(FRESH)
    op.execute(UNREAD)
    op.execute(NAMES)
    op.execute(COUNTED)


def downgrade() -> None:
    op.execute("DELETE FROM quota_usage WHERE resource IN ('users', 'courses')")
    op.execute("DROP FUNCTION subject_invitation; DROP FUNCTION rename_member; DROP FUNCTION is_fresh")
    op.execute("DROP FUNCTION unread_everywhere")
    op.execute("DROP FUNCTION enter")
    first = runpy.run_path(str(Path(__file__).with_name("0001_foundation.py")))["ENTER"]
    op.execute(first.partition("CREATE FUNCTION subject_organization")[0])
    for table in OF_A_PERSON:
        op.execute(f"DROP POLICY confined ON {table}")
    for statement in POLICED_BEFORE:
        op.execute(statement)
    op.execute(
        """DROP TRIGGER begin_standing ON standings; DROP TRIGGER suspend_standings ON memberships;
           DROP FUNCTION begin_standing; DROP FUNCTION suspend_standings; DROP FUNCTION carries;
           ALTER TABLE standings DROP COLUMN is_suspended; DROP TABLE invitations"""
    )
    for policy in ("changed", "seen", "system", "owner"):
        op.execute(f"DROP POLICY {policy} ON organizations")
    op.execute(
        """ALTER TABLE organizations DISABLE ROW LEVEL SECURITY; ALTER TABLE organizations NO FORCE ROW LEVEL SECURITY;
           REVOKE UPDATE (name, subdomain, description, primary_color, secondary_color, timezone, language, settings,
               logo_path, updated_at) ON organizations FROM edurise_app;
           REVOKE DELETE ON organizations FROM edurise_system;
           DROP INDEX ix_organizations_name_id; DROP INDEX ix_organizations_created_at_id;
           ALTER TABLE organizations DROP COLUMN settings, DROP COLUMN logo_path"""
    )

"""Accounts: profiles, preferences, mailed links, second factors, identities elsewhere, and what sessions are bound by.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

CHANGED = """
ALTER TABLE people
    ADD COLUMN email_verified_at timestamptz,
    ADD COLUMN avatar_path text,
    ADD COLUMN has_second_factor boolean NOT NULL DEFAULT false,
    ADD COLUMN erase_after timestamptz,
    ADD COLUMN erased_at timestamptz;
CREATE INDEX ix_people_created_at ON people (created_at);
CREATE INDEX ix_people_last_login_at ON people (last_login_at);
CREATE INDEX ix_people_erase_after ON people (erase_after) WHERE erase_after IS NOT NULL;
ALTER TABLE sessions
    ADD COLUMN method text NOT NULL DEFAULT 'password'
        CONSTRAINT ck_sessions_method CHECK (method IN ('password', 'google', 'oidc', 'invitation')),
    ADD COLUMN confined_to uuid CONSTRAINT fk_sessions_confined_to REFERENCES organizations,
    ADD COLUMN proved_at timestamptz,
    ADD COLUMN ends_at timestamptz;
CREATE INDEX ix_sessions_confined_to ON sessions (confined_to);
ALTER TABLE signing_keys ADD COLUMN signs_from timestamptz NOT NULL DEFAULT now();
ALTER TABLE teacher_applications
    ADD COLUMN teaching_experience text NOT NULL DEFAULT '',
    ADD COLUMN subject_expertise text NOT NULL DEFAULT '',
    ADD COLUMN education text NOT NULL DEFAULT '',
    ADD COLUMN experience text NOT NULL DEFAULT '',
    ADD COLUMN expertise_areas text NOT NULL DEFAULT '',
    ADD COLUMN teaching_philosophy text NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN user_agent text NOT NULL DEFAULT '';
CREATE INDEX ix_audit_log_person_id_id ON audit_log (person_id, id);
"""

TABLES = """
CREATE TABLE profiles (
    person_id uuid CONSTRAINT pk_profiles PRIMARY KEY CONSTRAINT fk_profiles_person_id REFERENCES people ON DELETE CASCADE,
    bio text NOT NULL DEFAULT '',
    phone text NOT NULL DEFAULT '',
    date_of_birth date,
    title text NOT NULL DEFAULT '',
    experience text NOT NULL DEFAULT '',
    expertise text NOT NULL DEFAULT '',
    education jsonb NOT NULL DEFAULT '[]',
    social_links jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE preferences (
    person_id uuid CONSTRAINT pk_preferences PRIMARY KEY CONSTRAINT fk_preferences_person_id REFERENCES people ON DELETE CASCADE,
    email_notifications boolean NOT NULL DEFAULT true,
    push_notifications boolean NOT NULL DEFAULT true,
    marketing_emails boolean NOT NULL DEFAULT false,
    theme text NOT NULL DEFAULT 'auto' CONSTRAINT ck_preferences_theme CHECK (theme IN ('light', 'dark', 'auto')),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE notification_preferences (
    person_id uuid CONSTRAINT pk_notification_preferences PRIMARY KEY
        CONSTRAINT fk_notification_preferences_person_id REFERENCES people ON DELETE CASCADE,
    chosen jsonb NOT NULL DEFAULT '{}',
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE application_documents (
    id uuid CONSTRAINT pk_application_documents PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_application_documents_tenant_id REFERENCES organizations,
    application_id uuid NOT NULL,
    file_id uuid NOT NULL,
    name text NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_application_documents_tenant_id_application_id_file_id UNIQUE (tenant_id, application_id, file_id),
    CONSTRAINT fk_application_documents_tenant_id_application_id FOREIGN KEY (tenant_id, application_id)
        REFERENCES teacher_applications (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_application_documents_tenant_id_file_id FOREIGN KEY (tenant_id, file_id)
        REFERENCES files (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_application_documents_tenant_id_file_id ON application_documents (tenant_id, file_id);
CREATE TABLE mailed_links (
    id uuid CONSTRAINT pk_mailed_links PRIMARY KEY,
    person_id uuid NOT NULL CONSTRAINT fk_mailed_links_person_id REFERENCES people ON DELETE CASCADE,
    purpose text NOT NULL
        CONSTRAINT ck_mailed_links_purpose CHECK (purpose IN ('verify_email', 'change_email', 'reset_password', 'link_identity')),
    email text NOT NULL,
    identity_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX ix_mailed_links_person_id ON mailed_links (person_id);
CREATE INDEX ix_mailed_links_expires_at ON mailed_links (expires_at);
CREATE TABLE second_factors (
    person_id uuid CONSTRAINT pk_second_factors PRIMARY KEY
        CONSTRAINT fk_second_factors_person_id REFERENCES people ON DELETE CASCADE,
    sealed_secret bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    confirmed_at timestamptz,
    last_step bigint,
    failures integer NOT NULL DEFAULT 0,
    locked_until timestamptz
);
CREATE TABLE recovery_codes (
    id uuid CONSTRAINT pk_recovery_codes PRIMARY KEY,
    person_id uuid NOT NULL CONSTRAINT fk_recovery_codes_person_id REFERENCES people ON DELETE CASCADE,
    code_hash text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    CONSTRAINT uq_recovery_codes_person_id_code_hash UNIQUE (person_id, code_hash)
);
CREATE TABLE identity_providers (
    id uuid CONSTRAINT pk_identity_providers PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_identity_providers_tenant_id REFERENCES organizations,
    name text NOT NULL,
    issuer text NOT NULL,
    client_id text NOT NULL,
    sealed_client_secret bytea,
    is_active boolean NOT NULL DEFAULT true,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT uq_identity_providers_tenant_id_issuer UNIQUE (tenant_id, issuer),
    CONSTRAINT uq_identity_providers_tenant_id_id UNIQUE (tenant_id, id)
);
CREATE TABLE external_identities (
    id uuid CONSTRAINT pk_external_identities PRIMARY KEY,
    person_id uuid NOT NULL CONSTRAINT fk_external_identities_person_id REFERENCES people ON DELETE CASCADE,
    tenant_id uuid CONSTRAINT fk_external_identities_tenant_id REFERENCES organizations,
    issuer text NOT NULL,
    subject text NOT NULL,
    email text NOT NULL,
    linked_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    CONSTRAINT uq_external_identities_tenant_id_issuer_subject UNIQUE NULLS NOT DISTINCT (tenant_id, issuer, subject)
);
CREATE INDEX ix_external_identities_person_id ON external_identities (person_id);
CREATE TABLE sign_ins (
    id uuid CONSTRAINT pk_sign_ins PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_sign_ins_tenant_id REFERENCES organizations,
    provider_id uuid NOT NULL,
    state_hash text NOT NULL CONSTRAINT uq_sign_ins_state_hash UNIQUE,
    browser_hash text NOT NULL,
    nonce text NOT NULL,
    sealed_verifier bytea NOT NULL,
    next_path text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    answered_at timestamptz,
    person_id uuid CONSTRAINT fk_sign_ins_person_id REFERENCES people ON DELETE CASCADE,
    code_hash text CONSTRAINT uq_sign_ins_code_hash UNIQUE,
    used_at timestamptz,
    CONSTRAINT fk_sign_ins_tenant_id_provider_id FOREIGN KEY (tenant_id, provider_id)
        REFERENCES identity_providers (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_sign_ins_tenant_id_provider_id ON sign_ins (tenant_id, provider_id);
CREATE INDEX ix_sign_ins_person_id ON sign_ins (person_id);
CREATE INDEX ix_sign_ins_expires_at ON sign_ins (expires_at);
"""

# A profile is seen by whom its person is: RLS of people decides, for the subquery is policed too.
PROFILES = f"""
CREATE POLICY seen ON profiles FOR SELECT TO edurise_app
    USING (EXISTS (SELECT 1 FROM people p WHERE p.id = profiles.person_id));
CREATE POLICY changed ON profiles TO edurise_app USING (person_id = {rls.PERSON}) WITH CHECK (person_id = {rls.PERSON});
GRANT SELECT, INSERT, UPDATE ON profiles TO edurise_app;
GRANT UPDATE (avatar_path) ON people TO edurise_app;
CREATE POLICY own ON audit_log FOR SELECT TO edurise_app USING ({rls.SELF_SCOPE} AND person_id = {rls.PERSON});
"""

# Who tells something to many is none of them. They see what of it somebody wants: the person of the hop, and members of
# the organization that is acted in.
CHOICES = f"""
CREATE FUNCTION notification_choices(p_people uuid[]) RETURNS TABLE (person_id uuid, chosen jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT n.person_id, n.chosen FROM notification_preferences n
     WHERE n.person_id = ANY (p_people) AND (n.person_id = {rls.PERSON} OR EXISTS (
        SELECT FROM memberships m WHERE m.person_id = n.person_id AND m.tenant_id = {rls.TENANT}))
$$;
REVOKE ALL ON FUNCTION notification_choices FROM PUBLIC;
GRANT EXECUTE ON FUNCTION notification_choices TO edurise_app, edurise_system;
"""

SUBJECTS = """
CREATE FUNCTION subject_identity_provider(uuid)
RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT p.tenant_id, NULL::uuid, NULL::uuid, false FROM identity_providers p WHERE p.id = $1';
"""

SECRET = ("mailed_links", "second_factors", "recovery_codes", "external_identities", "sign_ins")
OWN = ("preferences", "notification_preferences")
MADE = (
    *("sign_ins", "external_identities", "identity_providers", "recovery_codes", "second_factors", "mailed_links"),
    *("application_documents", "notification_preferences", "preferences", "profiles"),
)


def upgrade() -> None:
    op.execute(CHANGED)
    op.execute(TABLES)
    for statements in (
        *(rls.system_only(name) for name in (*SECRET, "profiles")),
        *(rls.one_s_own(name) for name in OWN),
        rls.tenant_scoped("application_documents"),
        rls.tenant_scoped("identity_providers"),
    ):
        for statement in statements:
            op.execute(statement)
    op.execute(PROFILES)
    op.execute(CHOICES)
    op.execute(SUBJECTS)


def downgrade() -> None:
    op.execute("DROP FUNCTION notification_choices; DROP FUNCTION subject_identity_provider")
    op.execute("DROP POLICY own ON audit_log")
    for table in MADE:
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP INDEX ix_audit_log_person_id_id; ALTER TABLE audit_log DROP COLUMN user_agent")
    op.execute("DROP INDEX ix_people_created_at; DROP INDEX ix_people_last_login_at")
    op.execute(
        """ALTER TABLE teacher_applications DROP COLUMN teaching_experience, DROP COLUMN subject_expertise,
           DROP COLUMN education, DROP COLUMN experience, DROP COLUMN expertise_areas, DROP COLUMN teaching_philosophy;
           ALTER TABLE signing_keys DROP COLUMN signs_from;
           ALTER TABLE sessions DROP COLUMN method, DROP COLUMN confined_to, DROP COLUMN proved_at, DROP COLUMN ends_at;
           ALTER TABLE people DROP COLUMN email_verified_at, DROP COLUMN avatar_path, DROP COLUMN has_second_factor,
           DROP COLUMN erase_after, DROP COLUMN erased_at"""
    )

"""Files, their categories, shares and accesses, and the uploads by which they arrive.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE file_categories (
    id uuid CONSTRAINT pk_file_categories PRIMARY KEY,
    tenant_id uuid CONSTRAINT fk_file_categories_tenant_id REFERENCES organizations,
    slug text NOT NULL CONSTRAINT uq_file_categories_slug UNIQUE,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    icon text NOT NULL DEFAULT 'file',
    extensions text[] NOT NULL,
    max_bytes bigint NOT NULL CONSTRAINT ck_file_categories_max_bytes CHECK (max_bytes > 0),
    default_access text NOT NULL DEFAULT 'owner' CONSTRAINT ck_file_categories_default_access
        CHECK (default_access IN ('owner', 'staff', 'enrolled', 'organization', 'public')),
    is_reencoded boolean NOT NULL DEFAULT false,
    is_active boolean NOT NULL DEFAULT true,
    sort_order integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ix_file_categories_tenant_id ON file_categories (tenant_id);
CREATE TABLE files (
    id uuid CONSTRAINT pk_files PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_files_tenant_id REFERENCES organizations,
    owner_id uuid NOT NULL CONSTRAINT fk_files_owner_id REFERENCES people,
    course_id uuid,
    category_id uuid NOT NULL CONSTRAINT fk_files_category_id REFERENCES file_categories,
    name text NOT NULL,
    extension text NOT NULL,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    tags text[] NOT NULL DEFAULT '{}',
    media_type text NOT NULL,
    size_bytes bigint NOT NULL CONSTRAINT ck_files_size_bytes CHECK (size_bytes >= 0),
    sha256 text,
    crc32 bigint,
    access text NOT NULL CONSTRAINT ck_files_access
        CHECK (access IN ('owner', 'staff', 'enrolled', 'organization', 'public')),
    state text NOT NULL CONSTRAINT ck_files_state
        CHECK (state IN ('uploading', 'scanning', 'ready', 'quarantined', 'failed', 'trashed', 'erased')),
    state_before text,
    scan text NOT NULL DEFAULT 'pending' CONSTRAINT ck_files_scan
        CHECK (scan IN ('pending', 'clean', 'infected', 'not_scanned')),
    scan_note text NOT NULL DEFAULT '',
    failure text,
    store text NOT NULL,
    key text NOT NULL CONSTRAINT uq_files_key UNIQUE,
    thumbnail_key text,
    thumbnail_type text,
    thumbnail_bytes integer,
    link_version integer NOT NULL DEFAULT 1,
    download_count bigint NOT NULL DEFAULT 0,
    last_accessed_at timestamptz,
    expires_at timestamptz,
    inspect_at timestamptz,
    trashed_at timestamptz,
    idempotency_key text,
    idempotency_digest text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_files_ready CHECK (state <> 'ready' OR sha256 IS NOT NULL),
    CONSTRAINT ck_files_trashed CHECK (state <> 'trashed' OR (trashed_at IS NOT NULL AND state_before IS NOT NULL)),
    CONSTRAINT ck_files_thumbnail CHECK (num_nulls(thumbnail_key, thumbnail_type, thumbnail_bytes) IN (0, 3)),
    CONSTRAINT ck_files_of_course CHECK (access NOT IN ('staff', 'enrolled') OR course_id IS NOT NULL),
    CONSTRAINT uq_files_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_files_tenant_id_owner_id_idempotency_key UNIQUE (tenant_id, owner_id, idempotency_key),
    CONSTRAINT fk_files_tenant_id_course_id FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id)
);
CREATE INDEX ix_files_owner_id ON files (owner_id);
CREATE INDEX ix_files_category_id ON files (category_id);
CREATE INDEX ix_files_tenant_id_course_id ON files (tenant_id, course_id);
CREATE INDEX ix_files_tenant_id_created_at ON files (tenant_id, created_at);
CREATE INDEX ix_files_tenant_id_name ON files (tenant_id, name);
CREATE INDEX ix_files_tenant_id_size_bytes ON files (tenant_id, size_bytes);
CREATE INDEX ix_files_tenant_id_download_count ON files (tenant_id, download_count);
CREATE INDEX ix_files_inspect_at ON files (inspect_at) WHERE state = 'scanning';
CREATE INDEX ix_files_thumbnail_key ON files (thumbnail_key) WHERE thumbnail_key IS NOT NULL;
CREATE INDEX ix_files_trashed_at ON files (trashed_at) WHERE state = 'trashed';
CREATE TABLE file_shares (
    id uuid CONSTRAINT pk_file_shares PRIMARY KEY,
    tenant_id uuid NOT NULL,
    file_id uuid NOT NULL,
    person_id uuid NOT NULL CONSTRAINT fk_file_shares_person_id REFERENCES people ON DELETE CASCADE,
    shared_by uuid CONSTRAINT fk_file_shares_shared_by REFERENCES people ON DELETE SET NULL,
    created_at timestamptz NOT NULL,
    CONSTRAINT uq_file_shares_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_file_shares_tenant_id_file_id_person_id UNIQUE (tenant_id, file_id, person_id),
    CONSTRAINT fk_file_shares_tenant_id_file_id
        FOREIGN KEY (tenant_id, file_id) REFERENCES files (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_file_shares_person_id ON file_shares (person_id);
CREATE INDEX ix_file_shares_shared_by ON file_shares (shared_by);
CREATE TABLE file_accesses (
    id uuid CONSTRAINT pk_file_accesses PRIMARY KEY,
    tenant_id uuid NOT NULL,
    file_id uuid NOT NULL,
    person_id uuid CONSTRAINT fk_file_accesses_person_id REFERENCES people ON DELETE SET NULL,
    ip text NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT uq_file_accesses_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_file_accesses_tenant_id_file_id
        FOREIGN KEY (tenant_id, file_id) REFERENCES files (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_file_accesses_person_id ON file_accesses (person_id);
CREATE INDEX ix_file_accesses_tenant_id_file_id_at ON file_accesses (tenant_id, file_id, at);
CREATE INDEX ix_file_accesses_at ON file_accesses (at);
CREATE TABLE uploads (
    id uuid CONSTRAINT pk_uploads PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_uploads_tenant_id REFERENCES organizations,
    user_id uuid NOT NULL CONSTRAINT fk_uploads_user_id REFERENCES people ON DELETE CASCADE,
    way text NOT NULL CONSTRAINT ck_uploads_way CHECK (way IN ('form', 'tus', 'direct')),
    state text NOT NULL DEFAULT 'open' CONSTRAINT ck_uploads_state CHECK (state IN ('open', 'done', 'dropped')),
    store text NOT NULL,
    key text NOT NULL CONSTRAINT uq_uploads_key UNIQUE,
    store_upload text,
    size_bytes bigint NOT NULL CONSTRAINT ck_uploads_size_bytes CHECK (size_bytes >= 0),
    offset_bytes bigint NOT NULL DEFAULT 0,
    tail_key text,
    tail_bytes integer NOT NULL DEFAULT 0,
    tails integer NOT NULL DEFAULT 0,
    described_as text NOT NULL DEFAULT '',
    hold_id uuid,
    file_id uuid,
    holder uuid,
    held_until timestamptz,
    expires_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT ck_uploads_offset_bytes CHECK (0 <= offset_bytes AND offset_bytes <= size_bytes),
    CONSTRAINT ck_uploads_tail CHECK ((tail_key IS NULL) = (tail_bytes = 0)),
    CONSTRAINT uq_uploads_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_uploads_tenant_id_file_id FOREIGN KEY (tenant_id, file_id) REFERENCES files (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_uploads_user_id ON uploads (user_id);
CREATE INDEX ix_uploads_tenant_id_file_id ON uploads (tenant_id, file_id);
CREATE INDEX ix_uploads_tail_key ON uploads (tail_key) WHERE tail_key IS NOT NULL;
CREATE INDEX ix_uploads_expires_at ON uploads (expires_at) WHERE state = 'open';
CREATE INDEX ix_uploads_updated_at ON uploads (updated_at) WHERE state = 'open' AND way <> 'form';
CREATE TABLE upload_parts (
    id uuid CONSTRAINT pk_upload_parts PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL CONSTRAINT fk_upload_parts_user_id REFERENCES people ON DELETE CASCADE,
    upload_id uuid NOT NULL,
    number integer NOT NULL CONSTRAINT ck_upload_parts_number CHECK (number BETWEEN 1 AND 10000),
    size_bytes bigint NOT NULL,
    tag text NOT NULL,
    CONSTRAINT uq_upload_parts_tenant_id_upload_id_number UNIQUE (tenant_id, upload_id, number),
    CONSTRAINT fk_upload_parts_tenant_id_upload_id
        FOREIGN KEY (tenant_id, upload_id) REFERENCES uploads (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_upload_parts_user_id ON upload_parts (user_id);
ALTER TABLE organizations ADD COLUMN file_store text
    CONSTRAINT ck_organizations_file_store CHECK (file_store IN ('local', 's3'));
"""

# A capability below courses shows which course a file belongs to. The view runs as who asks, so its rows are policed.
TITLES = """
CREATE VIEW course_titles WITH (security_invoker = true) AS SELECT tenant_id, id, title FROM courses;
GRANT SELECT ON course_titles TO edurise_app;
"""

# Whether somebody may know of a file is decided by the one policy in edurise/files/access.py, inside the hop; entering
# it only finds the organization. So a file counts as published here, and no verb about one is open to the public grade.
SUBJECTS = """
CREATE FUNCTION subject_file(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT f.tenant_id, f.course_id, f.owner_id, true FROM files f WHERE f.id = $1 AND f.state <> ''erased''';
CREATE FUNCTION subject_upload(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT u.tenant_id, NULL::uuid, u.user_id, false FROM uploads u WHERE u.id = $1';
CREATE FUNCTION subject_file_category(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT c.tenant_id, NULL::uuid, NULL::uuid, true FROM file_categories c WHERE c.id = $1';
"""

_MIB = 1024 * 1024
_PICTURES = "jpg jpeg png gif webp"
_VIDEOS = "mp4 webm mov m4v ogv"
_SOUNDS = "mp3 m4a ogg wav"
_PAPERS = "pdf doc docx xls xlsx ppt pptx odt ods odp rtf txt md csv epub"
_ARCHIVES = "zip"
# Slug, name, description, icon, extensions, MiB, default access, whether pictures are kept only as encoded anew.
CATEGORIES = (
    ("avatars", "Avatars", "Pictures of people.", "user", _PICTURES, 5, "public", True),
    ("thumbnails", "Thumbnails", "Pictures of courses and pages.", "image", _PICTURES, 10, "public", True),
    ("course-materials", "Course materials", "What a course is taught with.", "book",
     f"{_PAPERS} {_PICTURES} {_VIDEOS} {_SOUNDS} {_ARCHIVES}", 2048, "enrolled", False),
    ("submissions", "Submissions", "What learners hand in.", "upload",
     f"{_PAPERS} {_PICTURES} {_VIDEOS} {_SOUNDS} {_ARCHIVES}", 512, "staff", False),
    ("certificates", "Certificates", "Certificates of completed courses.", "award", "pdf", 20, "owner", False),
    ("invoices", "Invoices", "Invoices and receipts.", "receipt", "pdf", 20, "owner", False),
    ("exports", "Exports", "Data that somebody asked for.", "download", "csv json xlsx pdf zip", 2048, "owner", False),
    ("recordings", "Recordings", "Recordings of live classes.", "video", f"{_VIDEOS} {_SOUNDS}", 5120, "enrolled", False),
    ("documents", "Documents", "Anything to read.", "file", f"{_PAPERS} {_PICTURES} {_ARCHIVES}", 200, "owner", False),
)  # fmt: skip


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(TITLES)
    for statements in (
        rls.platform_rows("file_categories", grants="SELECT, INSERT, UPDATE, DELETE"),
        rls.tenant_scoped("files"),
        rls.tenant_scoped("file_shares"),
        rls.tenant_scoped("file_accesses", grants="SELECT, INSERT"),
        rls.person_scoped("uploads"),
        rls.person_scoped("upload_parts"),
    ):
        for statement in statements:
            op.execute(statement)
    op.execute(SUBJECTS)
    for number, (slug, name, description, icon, extensions, mib, access, anew) in enumerate(CATEGORIES):
        listed = "{" + ",".join(extensions.split()) + "}"
        op.execute(f"""
            INSERT INTO file_categories (id, slug, name, description, icon, extensions, max_bytes, default_access,
                                         is_reencoded, sort_order)
            VALUES ('00000000-0000-7000-8000-0000000f{number:04}', '{slug}', '{name}', '{description}', '{icon}',
                    '{listed}', {mib * _MIB}, '{access}', {anew}, {number})
        """)


def downgrade() -> None:
    for name in ("file_category", "upload", "file"):
        op.execute(f"DROP FUNCTION subject_{name}")
    op.execute("ALTER TABLE organizations DROP COLUMN file_store")
    op.execute("DROP VIEW course_titles")
    for table in ("upload_parts", "uploads", "file_accesses", "file_shares", "files", "file_categories"):
        op.execute(f"DROP TABLE {table}")

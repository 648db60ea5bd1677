"""Categories, courses, modules, lessons, and the public catalogue.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE categories (
    slug text CONSTRAINT pk_categories PRIMARY KEY,
    tenant_id uuid CONSTRAINT fk_categories_tenant_id REFERENCES organizations,
    name text NOT NULL,
    sort_order integer NOT NULL DEFAULT 0,
    is_active boolean NOT NULL DEFAULT true
);
CREATE INDEX ix_categories_tenant_id ON categories (tenant_id);
CREATE TABLE courses (
    id uuid CONSTRAINT pk_courses PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_courses_tenant_id REFERENCES organizations,
    instructor_id uuid NOT NULL CONSTRAINT fk_courses_instructor_id REFERENCES people,
    instructor_first_name text NOT NULL,
    instructor_last_name text NOT NULL,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    category text NOT NULL CONSTRAINT fk_courses_category REFERENCES categories,
    difficulty_level text NOT NULL DEFAULT 'beginner'
        CONSTRAINT ck_courses_difficulty_level CHECK (difficulty_level IN ('beginner', 'intermediate', 'advanced')),
    tags text[] NOT NULL DEFAULT '{}',
    price_minor integer NOT NULL DEFAULT 0 CONSTRAINT ck_courses_price_minor CHECK (price_minor >= 0),
    currency text NOT NULL,
    duration_weeks integer NOT NULL DEFAULT 1 CONSTRAINT ck_courses_duration_weeks CHECK (duration_weeks > 0),
    max_students integer CONSTRAINT ck_courses_max_students CHECK (max_students > 0),
    thumbnail_url text,
    status text NOT NULL DEFAULT 'draft'
        CONSTRAINT ck_courses_status CHECK (status IN ('draft', 'pending', 'published', 'suspended')),
    moderation_reason text NOT NULL DEFAULT '',
    total_enrollments integer NOT NULL DEFAULT 0,
    rating_sum integer NOT NULL DEFAULT 0,
    rating_count integer NOT NULL DEFAULT 0,
    idempotency_key text,
    idempotency_digest text,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    published_at timestamptz,
    CONSTRAINT uq_courses_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_courses_tenant_id_instructor_id_idempotency_key UNIQUE (tenant_id, instructor_id, idempotency_key)
);
CREATE INDEX ix_courses_instructor_id ON courses (instructor_id);
CREATE INDEX ix_courses_category ON courses (category);
CREATE INDEX ix_courses_tenant_id_created_at ON courses (tenant_id, created_at);
CREATE INDEX ix_courses_tenant_id_title ON courses (tenant_id, title);
CREATE INDEX ix_courses_tenant_id_price_minor ON courses (tenant_id, price_minor);
CREATE INDEX ix_courses_tenant_id_total_enrollments ON courses (tenant_id, total_enrollments);
CREATE TABLE modules (
    id uuid CONSTRAINT pk_modules PRIMARY KEY,
    tenant_id uuid NOT NULL,
    course_id uuid NOT NULL,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    content text NOT NULL DEFAULT '',
    position integer NOT NULL DEFAULT 0,
    is_published boolean NOT NULL DEFAULT true,
    video_url text,
    materials jsonb NOT NULL DEFAULT '[]',
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT uq_modules_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_modules_tenant_id_course_id FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_modules_tenant_id_course_id_position ON modules (tenant_id, course_id, position);
CREATE TABLE lessons (
    id uuid CONSTRAINT pk_lessons PRIMARY KEY,
    tenant_id uuid NOT NULL,
    course_id uuid NOT NULL,
    module_id uuid NOT NULL,
    title text NOT NULL,
    kind text NOT NULL DEFAULT 'text' CONSTRAINT ck_lessons_kind CHECK (kind IN ('video', 'text', 'quiz')),
    description text NOT NULL DEFAULT '',
    content text NOT NULL DEFAULT '',
    video_url text,
    duration_minutes integer NOT NULL DEFAULT 0 CONSTRAINT ck_lessons_duration_minutes CHECK (duration_minutes >= 0),
    questions jsonb NOT NULL DEFAULT '[]',
    position integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT uq_lessons_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_lessons_tenant_id_course_id FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_lessons_tenant_id_module_id FOREIGN KEY (tenant_id, module_id) REFERENCES modules (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_lessons_tenant_id_course_id_module_id_position ON lessons (tenant_id, course_id, module_id, position);
CREATE INDEX ix_lessons_tenant_id_module_id ON lessons (tenant_id, module_id);
ALTER TABLE standings ADD CONSTRAINT fk_standings_tenant_id_course_id
    FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE;

CREATE TABLE catalogue (
    course_id uuid CONSTRAINT pk_catalogue PRIMARY KEY,
    tenant_id uuid NOT NULL,
    organization_name text NOT NULL,
    instructor_id uuid NOT NULL,
    instructor_first_name text NOT NULL,
    instructor_last_name text NOT NULL,
    title text NOT NULL,
    description text NOT NULL,
    category text NOT NULL,
    difficulty_level text NOT NULL,
    tags text[] NOT NULL,
    price_minor integer NOT NULL,
    currency text NOT NULL,
    duration_weeks integer NOT NULL,
    max_students integer,
    thumbnail_url text,
    average_rating double precision NOT NULL,
    total_enrollments integer NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    search tsvector NOT NULL,
    CONSTRAINT fk_catalogue_tenant_id_course_id FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_catalogue_tenant_id_course_id ON catalogue (tenant_id, course_id);
CREATE INDEX ix_catalogue_instructor_id ON catalogue (instructor_id);
CREATE INDEX ix_catalogue_category ON catalogue (category);
CREATE INDEX ix_catalogue_created_at_course_id ON catalogue (created_at, course_id);
CREATE INDEX ix_catalogue_title_course_id ON catalogue (title, course_id);
CREATE INDEX ix_catalogue_price_minor_course_id ON catalogue (price_minor, course_id);
CREATE INDEX ix_catalogue_average_rating_course_id ON catalogue (average_rating, course_id);
CREATE INDEX ix_catalogue_total_enrollments_course_id ON catalogue (total_enrollments, course_id);
CREATE INDEX ix_catalogue_search ON catalogue USING gin (search);

CREATE TABLE course_deltas (
    id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT pk_course_deltas PRIMARY KEY,
    tenant_id uuid NOT NULL,
    course_id uuid NOT NULL,
    enrollments integer NOT NULL DEFAULT 0,
    CONSTRAINT fk_course_deltas_tenant_id_course_id
        FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_course_deltas_tenant_id_course_id ON course_deltas (tenant_id, course_id);
"""

# The catalogue is a function of the published courses, kept by the database itself: no code path can forget it, and the application role,
# which has no row-level security to hold it here, cannot write it.
CATALOGUE = """
CREATE FUNCTION keep_catalogue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    IF NEW.status <> 'published' THEN
        DELETE FROM catalogue WHERE course_id = NEW.id;
        RETURN NULL;
    END IF;
    INSERT INTO catalogue (
        course_id, tenant_id, organization_name, instructor_id, instructor_first_name, instructor_last_name, title, description, category,
        difficulty_level, tags, price_minor, currency, duration_weeks, max_students, thumbnail_url, average_rating, total_enrollments,
        created_at, updated_at, search)
    SELECT NEW.id, NEW.tenant_id, o.name, NEW.instructor_id, NEW.instructor_first_name, NEW.instructor_last_name, NEW.title,
           NEW.description, NEW.category, NEW.difficulty_level, NEW.tags, NEW.price_minor, NEW.currency, NEW.duration_weeks,
           NEW.max_students, NEW.thumbnail_url,
           CASE WHEN NEW.rating_count = 0 THEN 0 ELSE NEW.rating_sum::double precision / NEW.rating_count END,
           NEW.total_enrollments, NEW.created_at, NEW.updated_at,
           setweight(to_tsvector('simple', NEW.title || ' ' || array_to_string(NEW.tags, ' ')), 'A')
           || setweight(to_tsvector('english', NEW.title || ' ' || NEW.description), 'B')
           || setweight(to_tsvector('simple', NEW.instructor_first_name || ' ' || NEW.instructor_last_name), 'C')
      FROM organizations o WHERE o.id = NEW.tenant_id
    ON CONFLICT (course_id) DO UPDATE SET
        organization_name = excluded.organization_name, instructor_id = excluded.instructor_id,
        instructor_first_name = excluded.instructor_first_name, instructor_last_name = excluded.instructor_last_name,
        title = excluded.title, description = excluded.description, category = excluded.category,
        difficulty_level = excluded.difficulty_level, tags = excluded.tags, price_minor = excluded.price_minor,
        currency = excluded.currency, duration_weeks = excluded.duration_weeks, max_students = excluded.max_students,
        thumbnail_url = excluded.thumbnail_url, average_rating = excluded.average_rating,
        total_enrollments = excluded.total_enrollments, updated_at = excluded.updated_at, search = excluded.search;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION keep_catalogue FROM PUBLIC;
CREATE TRIGGER keep_catalogue AFTER INSERT OR UPDATE ON courses FOR EACH ROW EXECUTE FUNCTION keep_catalogue();
GRANT SELECT ON catalogue TO edurise_app, edurise_system;

CREATE FUNCTION rename_in_catalogue() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
BEGIN
    UPDATE catalogue SET organization_name = NEW.name WHERE tenant_id = NEW.id;
    RETURN NULL;
END $$;
REVOKE ALL ON FUNCTION rename_in_catalogue FROM PUBLIC;
CREATE TRIGGER rename_in_catalogue AFTER UPDATE OF name ON organizations FOR EACH ROW EXECUTE FUNCTION rename_in_catalogue();
"""

SUBJECTS = """
CREATE FUNCTION subject_course(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT c.tenant_id, c.id, NULL::uuid, c.status = ''published'' FROM courses c WHERE c.id = $1';
CREATE FUNCTION subject_module(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT m.tenant_id, m.course_id, NULL::uuid, c.status = ''published'' AND m.is_published
  FROM modules m JOIN courses c ON c.tenant_id = m.tenant_id AND c.id = m.course_id WHERE m.id = $1';
CREATE FUNCTION subject_lesson(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT l.tenant_id, l.course_id, NULL::uuid, false FROM lessons l WHERE l.id = $1';
"""

CATEGORIES = (
    "technology",
    "business",
    "design",
    "languages",
    "mathematics",
    "science",
    "health",
    "music",
    "marketing",
    "teaching",
)


def upgrade() -> None:
    op.execute(TABLES)
    for statements in (
        rls.platform_rows("categories"),
        rls.tenant_scoped("courses"),
        rls.tenant_scoped("modules"),
        rls.tenant_scoped("lessons"),
        rls.tenant_scoped("course_deltas", grants="SELECT, INSERT"),
    ):
        for statement in statements:
            op.execute(statement)
    op.execute(
        f"""CREATE POLICY own ON courses FOR SELECT TO edurise_app USING ({rls.SELF_SCOPE} AND EXISTS (
            SELECT 1 FROM standings s WHERE s.person_id = {rls.PERSON} AND s.course_id = courses.id AND s.tenant_id = courses.tenant_id))"""
    )
    op.execute(CATALOGUE)
    op.execute(SUBJECTS)
    for order, slug in enumerate(CATEGORIES):
        op.execute(f"INSERT INTO categories (slug, name, sort_order) VALUES ('{slug}', '{slug.capitalize()}', {order})")


def downgrade() -> None:
    op.execute("ALTER TABLE standings DROP CONSTRAINT fk_standings_tenant_id_course_id")
    op.execute("DROP FUNCTION subject_lesson; DROP FUNCTION subject_module; DROP FUNCTION subject_course")
    for table in ("course_deltas", "catalogue", "lessons", "modules", "courses", "categories"):
        op.execute(f"DROP TABLE {table}")
    op.execute("DROP TRIGGER rename_in_catalogue ON organizations")
    op.execute("DROP FUNCTION keep_catalogue; DROP FUNCTION rename_in_catalogue")

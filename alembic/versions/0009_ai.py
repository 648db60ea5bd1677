"""Conversations with the tutor, and the search in a course's lessons that it answers from.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE ai_conversations (
    id uuid CONSTRAINT pk_ai_conversations PRIMARY KEY,
    tenant_id uuid NOT NULL CONSTRAINT fk_ai_conversations_tenant_id REFERENCES organizations,
    user_id uuid NOT NULL CONSTRAINT fk_ai_conversations_user_id REFERENCES people ON DELETE CASCADE,
    title text NOT NULL DEFAULT '',
    conversation_type text NOT NULL DEFAULT 'tutor' CONSTRAINT ck_ai_conversations_conversation_type
        CHECK (conversation_type IN ('tutor', 'general', 'course_help')),
    context jsonb NOT NULL DEFAULT '{}',
    course_id uuid,
    is_active boolean NOT NULL DEFAULT true,
    last_activity timestamptz NOT NULL,
    message_count integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT uq_ai_conversations_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT fk_ai_conversations_tenant_id_course_id
        FOREIGN KEY (tenant_id, course_id) REFERENCES courses (tenant_id, id) ON DELETE SET NULL (course_id)
);
CREATE INDEX ix_ai_conversations_tenant_id_course_id ON ai_conversations (tenant_id, course_id);
CREATE INDEX ix_ai_conversations_user_id_last_activity_id ON ai_conversations (user_id, last_activity, id);
CREATE TABLE ai_messages (
    id uuid CONSTRAINT pk_ai_messages PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL CONSTRAINT fk_ai_messages_user_id REFERENCES people ON DELETE CASCADE,
    conversation_id uuid NOT NULL,
    number integer NOT NULL,
    role text NOT NULL CONSTRAINT ck_ai_messages_role CHECK (role IN ('user', 'assistant', 'system')),
    content text NOT NULL,
    state text NOT NULL DEFAULT 'complete'
        CONSTRAINT ck_ai_messages_state CHECK (state IN ('complete', 'interrupted', 'stopped')),
    tokens_used integer,
    response_time_ms integer,
    created_at timestamptz NOT NULL,
    CONSTRAINT uq_ai_messages_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_ai_messages_tenant_id_conversation_id_number UNIQUE (tenant_id, conversation_id, number),
    CONSTRAINT fk_ai_messages_tenant_id_conversation_id
        FOREIGN KEY (tenant_id, conversation_id) REFERENCES ai_conversations (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX ix_ai_messages_user_id ON ai_messages (user_id);
CREATE TABLE ai_questions (
    id uuid CONSTRAINT pk_ai_questions PRIMARY KEY,
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL CONSTRAINT fk_ai_questions_user_id REFERENCES people ON DELETE CASCADE,
    conversation_id uuid NOT NULL,
    ask_key text,
    text_digest text NOT NULL,
    message_id uuid NOT NULL,
    answer_id uuid,
    state text NOT NULL DEFAULT 'waiting' CONSTRAINT ck_ai_questions_state
        CHECK (state IN ('waiting', 'claimed', 'streaming', 'done', 'stopped', 'interrupted', 'failed')),
    holder text,
    attempts integer NOT NULL DEFAULT 0,
    beat_at timestamptz,
    stop_requested boolean NOT NULL DEFAULT false,
    partial text NOT NULL DEFAULT '',
    stream_offset bigint,
    stream_epoch uuid,
    model text,
    provider text,
    prompt_tokens integer,
    completion_tokens integer,
    cost_micros bigint,
    error_code text,
    asked_at timestamptz NOT NULL,
    first_token_at timestamptz,
    finished_at timestamptz,
    CONSTRAINT uq_ai_questions_tenant_id_id UNIQUE (tenant_id, id),
    CONSTRAINT uq_ai_questions_tenant_id_conversation_id_ask_key UNIQUE (tenant_id, conversation_id, ask_key),
    CONSTRAINT fk_ai_questions_tenant_id_conversation_id
        FOREIGN KEY (tenant_id, conversation_id) REFERENCES ai_conversations (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_ai_questions_tenant_id_message_id
        FOREIGN KEY (tenant_id, message_id) REFERENCES ai_messages (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT fk_ai_questions_tenant_id_answer_id
        FOREIGN KEY (tenant_id, answer_id) REFERENCES ai_messages (tenant_id, id) ON DELETE SET NULL (answer_id)
);
CREATE UNIQUE INDEX uq_ai_questions_running ON ai_questions (tenant_id, conversation_id)
    WHERE state IN ('waiting', 'claimed', 'streaming');
CREATE INDEX ix_ai_questions_waiting ON ai_questions (asked_at, id) WHERE state = 'waiting';
CREATE INDEX ix_ai_questions_beat_at ON ai_questions (beat_at) WHERE state IN ('claimed', 'streaming');
CREATE INDEX ix_ai_questions_tenant_id_message_id ON ai_questions (tenant_id, message_id);
CREATE INDEX ix_ai_questions_tenant_id_answer_id ON ai_questions (tenant_id, answer_id);
CREATE INDEX ix_ai_questions_user_id_asked_at ON ai_questions (user_id, asked_at);
"""

SUBJECTS = """
CREATE FUNCTION subject_conversation(uuid) RETURNS TABLE (tenant_id uuid, course_id uuid, owner_id uuid, published boolean)
LANGUAGE sql STABLE AS 'SELECT c.tenant_id, c.course_id, c.user_id, false FROM ai_conversations c WHERE c.id = $1';
"""

# What a lesson says, as plain text: without scripts, styles and tags. Only the first characters are read, for a tsvector holds at most 1 MB.
# Each expression is greedy or not as a whole, by its first quantifier, which is why every one of them is written non-greedy. Runs without a
# space are broken up, and nothing that looks like a tag is left: the parser of full-text search takes quadratic time for either.
LESSONS = r"""
CREATE FUNCTION lesson_text(p_content text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog
RETURN regexp_replace(regexp_replace(regexp_replace(regexp_replace(regexp_replace(left(p_content, 200000),
    '<script[^>]*?>.*?(?:</script\s*?>|$)', ' ', 'gi'),
    '<style[^>]*?>.*?(?:</style\s*?>|$)', ' ', 'gi'),
    '<!--.*?(?:-->|$)', ' ', 'g'),
    '<[a-z/!?][^>]*?(?:>|$)', ' ', 'gi'),
    '([^\s]{200})', '\1 ', 'g');

CREATE FUNCTION lesson_search(p_title text, p_description text, p_content text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path = public, pg_catalog AS $$
DECLARE
    v_title text := lesson_text(left(p_title, 1000));
    v_about text := lesson_text(left(p_description, 10000));
    v_text text := lesson_text(p_content);
    v_size integer;
BEGIN
    -- Text of nothing but different words may be too much even so; then less of it is indexed, and writing the lesson does not fail.
    FOREACH v_size IN ARRAY ARRAY[100000, 20000, 2000] LOOP
        BEGIN
            RETURN setweight(to_tsvector('simple', v_title) || to_tsvector('english', v_title), 'A')
                || setweight(to_tsvector('simple', left(v_about, v_size)) || to_tsvector('english', left(v_about, v_size)), 'B')
                || to_tsvector('simple', left(v_text, v_size)) || to_tsvector('english', left(v_text, v_size));
        EXCEPTION WHEN program_limit_exceeded THEN
            CONTINUE;
        END;
    END LOOP;
    RETURN ''::tsvector;
END $$;
ALTER TABLE lessons ADD COLUMN search tsvector
    GENERATED ALWAYS AS (lesson_search(title, description, content)) STORED;
CREATE INDEX ix_lessons_search ON lessons USING gin (search);
"""

# Under row-level security a search would not use its index, so it is a definer function of a role that sees all lessons, and it asks for
# the organization entered itself. A question is a bag of words: operators and quotes in it are text. Words that say nothing are left out: the
# English ones, or the German ones where there are more of those in the question ("war" says something in English and nothing in German).
SEARCH = rf"""
CREATE POLICY search ON lessons FOR SELECT TO edurise_search USING (true);
CREATE POLICY search ON modules FOR SELECT TO edurise_search USING (true);
GRANT SELECT (id, tenant_id, course_id, module_id, title, description, content, position, search) ON lessons TO edurise_search;
GRANT SELECT (id, tenant_id, title, is_published) ON modules TO edurise_search;

CREATE FUNCTION lesson_query(p_text text) RETURNS tsquery LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = public, pg_catalog AS $$
    WITH asked AS (SELECT regexp_replace(translate(left(p_text, 2000), '<>', '  '), '([^\s]{{200}})', '\1 ', 'g') AS words),
    plain AS (
        SELECT u.lexeme, ts_lexize('english_stem', u.lexeme) = '{{}}' AS english, ts_lexize('german_stem', u.lexeme) = '{{}}' AS german
          FROM asked, unnest(to_tsvector('simple', asked.words)) u),
    spoken AS (SELECT count(*) FILTER (WHERE german) > count(*) FILTER (WHERE english) AS german FROM plain),
    said AS (
        SELECT p.lexeme FROM plain p, spoken s WHERE NOT CASE WHEN s.german THEN p.german ELSE p.english END
         UNION
        SELECT u.lexeme FROM asked, spoken s, unnest(to_tsvector('english', asked.words)) u
         WHERE NOT (s.german AND ts_lexize('german_stem', u.lexeme) = '{{}}')
         ORDER BY lexeme LIMIT 200)
    SELECT coalesce(string_agg(quote_literal(lexeme), ' | '), '')::tsquery FROM said
$$;
CREATE FUNCTION search_lessons(p_course uuid, p_query text, p_limit integer)
RETURNS TABLE (lesson_id uuid, lesson text, module text, passage text, rank real)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT f.id, f.title, f.module,
           CASE WHEN b.body !~ '\S' THEN f.title
                WHEN length(b.body) <= 1200 THEN b.body
                ELSE ts_headline('english', left(b.body, 100000), f.words,
                    'StartSel="", StopSel="", MaxFragments=3, MinWords=20, MaxWords=90, ShortWord=0, FragmentDelimiter=" … "') END,
           f.rank
      FROM (SELECT l.id, l.title, m.title AS module, l.description, l.content, q.words, ts_rank(l.search, q.words, 1) AS rank
              FROM lesson_query(p_query) AS q (words)
              JOIN lessons l ON l.search @@ q.words
              JOIN modules m ON m.tenant_id = l.tenant_id AND m.id = l.module_id
             WHERE l.tenant_id = {rls.TENANT} AND l.course_id = p_course AND m.is_published
             ORDER BY rank DESC, l.id LIMIT least(p_limit, 20)) f
     CROSS JOIN LATERAL (
           SELECT lesson_text(left(f.description, 10000)) || E'\n' || lesson_text(f.content) AS body OFFSET 0) b
     ORDER BY f.rank DESC, f.id
$$;
REVOKE ALL ON FUNCTION search_lessons FROM PUBLIC;
GRANT EXECUTE ON FUNCTION search_lessons TO edurise_app;
ALTER FUNCTION search_lessons OWNER TO edurise_search;
"""


def upgrade() -> None:
    op.execute(TABLES)
    for table in ("ai_conversations", "ai_messages", "ai_questions"):
        for statement in rls.person_scoped(table):
            op.execute(statement)
    op.execute(SUBJECTS)
    op.execute(LESSONS)
    op.execute(SEARCH)


def downgrade() -> None:
    op.execute("DROP FUNCTION search_lessons; DROP FUNCTION lesson_query")
    op.execute("DROP POLICY search ON modules; DROP POLICY search ON lessons")
    op.execute("REVOKE ALL ON modules, lessons FROM edurise_search")
    op.execute("ALTER TABLE lessons DROP COLUMN search")
    op.execute("DROP FUNCTION lesson_search; DROP FUNCTION lesson_text; DROP FUNCTION subject_conversation")
    for table in ("ai_questions", "ai_messages", "ai_conversations"):
        op.execute(f"DROP TABLE {table}")

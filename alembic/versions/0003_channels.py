"""Durable channels: a head row that numbers, the events, and the one function that appends.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# A channel belongs to one person or to one organization. An event of a person's channel says in which organization it
# was made.
TABLES = """
CREATE TABLE channels (
    name text CONSTRAINT pk_channels PRIMARY KEY,
    tenant_id uuid CONSTRAINT fk_channels_tenant_id REFERENCES organizations,
    person_id uuid CONSTRAINT fk_channels_person_id REFERENCES people ON DELETE CASCADE,
    epoch uuid NOT NULL,
    head bigint NOT NULL,
    trimmed_to bigint NOT NULL DEFAULT 0,
    CONSTRAINT ck_channels_owner CHECK (num_nonnulls(tenant_id, person_id) = 1),
    CONSTRAINT ck_channels_numbers CHECK (0 <= trimmed_to AND trimmed_to <= head)
);
CREATE INDEX ix_channels_tenant_id ON channels (tenant_id);
CREATE INDEX ix_channels_person_id ON channels (person_id);
CREATE TABLE channel_events (
    channel text CONSTRAINT fk_channel_events_channel REFERENCES channels ON DELETE CASCADE,
    "offset" bigint,
    tenant_id uuid,
    person_id uuid,
    type text NOT NULL,
    data jsonb NOT NULL,
    at timestamptz NOT NULL,
    CONSTRAINT pk_channel_events PRIMARY KEY (channel, "offset")
);
CREATE INDEX ix_channel_events_at ON channel_events (at);
"""

# The application role has SELECT and this function. The head row stays locked until the commit, so numbers have no gaps
# and their order is the order of the commits; and it numbers channels whose row the caller cannot see: an actor of an
# organization tells a person something.
APPEND = f"""
CREATE FUNCTION channel_append(p_channel text, p_person uuid, p_type text, p_data jsonb, p_at timestamptz)
RETURNS TABLE (number bigint, epoch uuid)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_tenant uuid := {rls.TENANT};
    v_person uuid := {rls.PERSON};
BEGIN
    IF v_tenant IS NULL AND (p_person IS NULL OR p_person IS DISTINCT FROM v_person) THEN
        RAISE insufficient_privilege USING MESSAGE = 'channel_append: not one''s own, and no organization is entered';
    END IF;
    INSERT INTO channels AS c (name, tenant_id, person_id, epoch, head)
    VALUES (p_channel, CASE WHEN p_person IS NULL THEN v_tenant END, p_person, gen_random_uuid(), 1)
    ON CONFLICT ON CONSTRAINT pk_channels DO UPDATE SET head = c.head + 1
        WHERE (c.tenant_id, c.person_id) IS NOT DISTINCT FROM (EXCLUDED.tenant_id, EXCLUDED.person_id)
    RETURNING c.head, c.epoch INTO number, epoch;
    IF NOT FOUND THEN
        RAISE insufficient_privilege USING MESSAGE = 'channel_append: the channel belongs to somebody else';
    END IF;
    INSERT INTO channel_events (channel, "offset", tenant_id, person_id, type, data, at)
    VALUES (p_channel, number, v_tenant, p_person, p_type, p_data, p_at);
    RETURN NEXT;
END $$;
REVOKE ALL ON FUNCTION channel_append FROM PUBLIC;
GRANT EXECUTE ON FUNCTION channel_append TO edurise_app;
"""


ORGANIZATION = f"person_id IS NULL AND tenant_id = {rls.TENANT}"


def _policed(table: str) -> tuple[str, ...]:
    return (
        *rls.system_only(table),
        f"CREATE POLICY own ON {table} FOR SELECT TO edurise_app USING (person_id = {rls.PERSON})",
        f"CREATE POLICY tenant ON {table} FOR SELECT TO edurise_app USING ({ORGANIZATION})",
        f"GRANT SELECT ON {table} TO edurise_app",
    )


def upgrade() -> None:
    op.execute(TABLES)
    for statement in (*_policed("channels"), *_policed("channel_events")):
        op.execute(statement)
    op.execute(APPEND)


def downgrade() -> None:
    op.execute("DROP FUNCTION channel_append; DROP TABLE channel_events; DROP TABLE channels")

"""What outlives a request: outbox, deliveries, audit, activity, leases; and the functions that make and drop months.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op
from edurise import rls

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE outbox (
    id uuid CONSTRAINT pk_outbox PRIMARY KEY,
    tenant_id uuid,
    topic text NOT NULL,
    payload jsonb NOT NULL,
    at timestamptz NOT NULL,
    spread_at timestamptz
) PARTITION BY RANGE (id);
CREATE INDEX ix_outbox_unspread ON outbox (id) WHERE spread_at IS NULL;
CREATE TABLE audit_log (
    id uuid CONSTRAINT pk_audit_log PRIMARY KEY,
    tenant_id uuid,
    person_id uuid,
    action text NOT NULL,
    object_kind text NOT NULL,
    object_id uuid,
    details jsonb NOT NULL,
    ip text NOT NULL,
    at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX ix_audit_log_tenant_id_id ON audit_log (tenant_id, id);
CREATE INDEX ix_audit_log_object_id ON audit_log (object_id);
CREATE TABLE activity (
    id uuid CONSTRAINT pk_activity PRIMARY KEY,
    tenant_id uuid NOT NULL,
    person_id uuid NOT NULL,
    kind text NOT NULL,
    object_kind text NOT NULL,
    object_id uuid NOT NULL,
    seconds integer NOT NULL CONSTRAINT ck_activity_seconds CHECK (seconds >= 0),
    at timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX ix_activity_tenant_id_id ON activity (tenant_id, id);
CREATE INDEX ix_activity_person_id_id ON activity (person_id, id);
CREATE TABLE deliveries (
    event_id uuid NOT NULL,
    actor text NOT NULL,
    topic text NOT NULL,
    tenant_id uuid,
    attempts integer NOT NULL,
    next_at timestamptz NOT NULL,
    sent_at timestamptz,
    done_at timestamptz,
    dead_at timestamptz,
    last_error text,
    CONSTRAINT pk_deliveries PRIMARY KEY (event_id, actor)
);
CREATE INDEX ix_deliveries_due ON deliveries (next_at) WHERE done_at IS NULL AND dead_at IS NULL;
CREATE INDEX ix_deliveries_dead ON deliveries (dead_at) WHERE dead_at IS NOT NULL;
CREATE TABLE leases (
    name text CONSTRAINT pk_leases PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
);
CREATE TABLE job_runs (
    name text CONSTRAINT pk_job_runs PRIMARY KEY,
    last_at timestamptz NOT NULL
);
"""

# The lowest UUIDv7 of a month (RFC 9562, 5.7: the first 48 bits are milliseconds since 1970). A partition has row-level
# security forced and no grant: the application reaches its rows through the parent, whose policies count there. Rows
# that the DEFAULT partition caught are moved, because it refuses a neighbour for a range it has rows of; ATTACH locks
# the parent less than CREATE ... PARTITION OF.
PARTITIONS = """
CREATE FUNCTION month_floor(p_month date) RETURNS uuid LANGUAGE sql IMMUTABLE SET search_path = pg_catalog AS $$
    SELECT (lpad(to_hex((extract(epoch FROM p_month::timestamp AT TIME ZONE 'UTC') * 1000)::bigint), 12, '0')
            || repeat('0', 20))::uuid
$$;
CREATE FUNCTION police_partition(p_name text) RETURNS void LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
BEGIN
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', p_name);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', p_name);
    EXECUTE format('CREATE POLICY owner ON %I TO edurise_owner USING (true) WITH CHECK (true)', p_name);
END $$;
CREATE FUNCTION ensure_partitions(p_months_ahead integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_table text;
    v_month date;
    v_floor uuid;
    v_ceiling uuid;
    v_name text;
    v_made integer := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('edurise.partitions', 0));
    FOREACH v_table IN ARRAY ARRAY['outbox', 'audit_log', 'activity'] LOOP
        FOR v_step IN 0..p_months_ahead LOOP
            v_month := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => v_step))::date;
            v_name := v_table || '_p' || to_char(v_month, 'YYYYMM');
            CONTINUE WHEN to_regclass('public.' || v_name) IS NOT NULL;
            v_floor := month_floor(v_month);
            v_ceiling := month_floor((v_month + interval '1 month')::date);
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)',
                           v_name, v_table);
            PERFORM police_partition(v_name);
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', v_table || '_default');
            EXECUTE format('WITH moved AS (DELETE FROM %I WHERE id >= $1 AND id < $2 RETURNING *) '
                           'INSERT INTO %I SELECT * FROM moved',
                           v_table || '_default', v_name) USING v_floor, v_ceiling;
            EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                           v_table, v_name, v_floor, v_ceiling);
            v_made := v_made + 1;
        END LOOP;
    END LOOP;
    RETURN v_made;
END $$;
CREATE FUNCTION drop_partitions(p_table text, p_before date) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    v_name text;
    v_month date;
    v_busy boolean;
    v_dropped text[] := '{}';
BEGIN
    IF p_table NOT IN ('outbox', 'audit_log', 'activity') THEN
        RAISE EXCEPTION '% has no partitions by month', p_table;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('edurise.partitions', 0));
    FOR v_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
         WHERE i.inhparent = ('public.' || p_table)::regclass AND c.relname ~ '_p[0-9]{6}$'
         ORDER BY c.relname
    LOOP
        v_month := to_date(right(v_name, 6), 'YYYYMM');
        CONTINUE WHEN v_month + interval '1 month' > p_before;
        IF p_table = 'outbox' THEN  -- an event that still has work stays
            EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE spread_at IS NULL)', v_name) INTO v_busy;
            CONTINUE WHEN v_busy OR EXISTS (
                SELECT FROM deliveries d
                 WHERE d.event_id >= month_floor(v_month)
                   AND d.event_id < month_floor((v_month + interval '1 month')::date)
                   AND d.done_at IS NULL);
        END IF;
        EXECUTE format('DROP TABLE %I', v_name);
        v_dropped := v_dropped || v_name;
    END LOOP;
    RETURN v_dropped;
END $$;
REVOKE ALL ON FUNCTION month_floor, police_partition, ensure_partitions, drop_partitions FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partitions, drop_partitions TO edurise_system;
"""

# An actor's final hop marks its delivery done: in the event's organization or, for an event of the platform, in any.
DELIVERIES = f"""
CREATE POLICY finished ON deliveries FOR UPDATE TO edurise_app
    USING (tenant_id IS NULL OR tenant_id = {rls.TENANT}) WITH CHECK (tenant_id IS NULL OR tenant_id = {rls.TENANT});
CREATE POLICY seen ON deliveries FOR SELECT TO edurise_app USING (tenant_id IS NULL OR tenant_id = {rls.TENANT});
GRANT SELECT (event_id, actor, tenant_id, done_at, dead_at), UPDATE (done_at) ON deliveries TO edurise_app;
"""

PARTITIONED = ("outbox", "audit_log", "activity")


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(PARTITIONS)
    for statements in (
        rls.tenant_scoped("outbox", grants="INSERT"),
        rls.tenant_scoped("audit_log", grants="SELECT, INSERT"),
        rls.tenant_scoped("activity", grants="SELECT, INSERT"),
        *(rls.system_only(name) for name in ("deliveries", "leases", "job_runs")),
    ):
        for statement in statements:
            op.execute(statement)
    op.execute(DELIVERIES)
    for table in PARTITIONED:
        op.execute(f"CREATE TABLE {table}_default PARTITION OF {table} DEFAULT")
        op.execute(f"SELECT police_partition('{table}_default')")
    op.execute("SELECT ensure_partitions(2)")


def downgrade() -> None:
    for function in ("drop_partitions", "ensure_partitions", "police_partition", "month_floor"):
        op.execute(f"DROP FUNCTION {function}")
    for table in ("job_runs", "leases", "deliveries", "activity", "audit_log", "outbox"):
        op.execute(f"DROP TABLE {table}")

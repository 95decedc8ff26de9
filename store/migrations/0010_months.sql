-- A month's rows go by dropping tables (store/retention.py): facts and references are kept in the same cells of orders as
-- deliveries are (store/partitions.py), and when a month begins, so does a cell.
ALTER TABLE fact RENAME TO fact_0;
ALTER TABLE fact_0 RENAME CONSTRAINT fact_pkey TO fact_0_pkey;
ALTER TABLE provider_reference RENAME TO provider_reference_0;
ALTER TABLE provider_reference_0 DROP CONSTRAINT provider_reference_pkey;

-- Everything but the ordinary "sent": what the provider or we said, and why.
CREATE TABLE fact (
    order_id     bigint NOT NULL,
    recipient_id bigint NOT NULL,
    attempt      smallint NOT NULL,
    state        smallint NOT NULL,
    at           timestamptz NOT NULL,
    code         text,
    reason       text,
    url          text,
    -- recording the same fact again, after a commit whose answer was lost, changes nothing
    PRIMARY KEY (order_id, recipient_id, attempt, state, at)
) PARTITION BY RANGE (order_id);

-- A provider that gives a reference a second time, a year later, means the later message.
CREATE TABLE provider_reference (
    channel      text NOT NULL,
    reference    text NOT NULL,
    order_id     bigint NOT NULL,
    recipient_id bigint NOT NULL,
    attempt      smallint NOT NULL,
    PRIMARY KEY (channel, reference, order_id)
) PARTITION BY RANGE (order_id);

-- What is there already is one cell, as wide as its deliveries are.
DO $$
DECLARE
    upto bigint;
BEGIN
    SELECT (max(substring(inhrelid::regclass::text FROM '_([0-9]+)$')::bigint) + 1) * 100000 INTO upto
    FROM pg_inherits WHERE inhparent = 'delivery'::regclass;
    EXECUTE format('ALTER TABLE fact ATTACH PARTITION fact_0 FOR VALUES FROM (0) TO (%s)', upto);
    EXECUTE format('ALTER TABLE provider_reference ATTACH PARTITION provider_reference_0 FOR VALUES FROM (0) TO (%s)', upto);
END $$;

-- Receipts go by their age.
CREATE INDEX receipt_received ON receipt USING brin (received_at) WITH (pages_per_range = 16, autosummarize = on);

-- How many deliveries of an order are in each state, counted once nobody works on it (store/tallies.py), so that pages
-- sum orders instead of counting deliveries. NULL: something has changed since, and its deliveries are counted.
ALTER TABLE delivery_order ADD COLUMN tallied_at timestamptz;
-- when a tally was last given up: one that is given up again and again is made anew ever less often
ALTER TABLE delivery_order ADD COLUMN touched_at timestamptz;
-- of a tallied order: deliveries that neither ended nor wait for anything
ALTER TABLE delivery_order ADD COLUMN unaccounted bigint NOT NULL DEFAULT 0;
-- when its deliveries were removed because they were old: the tally stays
ALTER TABLE delivery_order ADD COLUMN purged_at timestamptz;
CREATE INDEX delivery_order_untallied ON delivery_order (id) WHERE tallied_at IS NULL;
CREATE INDEX delivery_order_unaccounted ON delivery_order (id) WHERE unaccounted > 0;
CREATE INDEX delivery_order_created ON delivery_order (created_at);
-- what a recipient may have been sent: the orders of its authority on its channel, newest first
CREATE INDEX delivery_order_channel ON delivery_order (authority_id, channel, id);
-- events come by the thousand a second: where they lie is known by the page, which costs intake next to nothing
CREATE INDEX event_received ON event USING brin (received_at) WITH (pages_per_range = 16, autosummarize = on);

CREATE TABLE order_tally (
    order_id   bigint NOT NULL REFERENCES delivery_order ON DELETE CASCADE,
    rank       smallint NOT NULL,  -- schemas.deliveries.State
    deliveries bigint NOT NULL,
    PRIMARY KEY (order_id, rank)
);

-- How long after its event a delivery was accepted: four buckets each time the seconds double, with their sum.
CREATE TABLE order_pace (
    order_id   bigint NOT NULL REFERENCES delivery_order ON DELETE CASCADE,
    bucket     smallint NOT NULL,
    deliveries bigint NOT NULL,
    seconds    double precision NOT NULL,
    PRIMARY KEY (order_id, bucket)
);

-- Whoever changes what a tally says gives it up in the same transaction. The lock makes them and the one who counts
-- wait for each other; each statement of the function sees what was committed while it waited, which a part of a
-- larger statement would not.
CREATE FUNCTION order_touched(touched bigint) RETURNS void LANGUAGE plpgsql AS
$$ BEGIN
    PERFORM pg_advisory_xact_lock_shared(7, (touched % 2147483647)::int);
    UPDATE delivery_order SET tallied_at = NULL, touched_at = clock_timestamp(), unaccounted = 0
    WHERE id = touched AND tallied_at IS NOT NULL AND purged_at IS NULL;
END $$;

-- What became of deliveries is told to whoever wants to know, by a row for each recorded group: such rows wake the
-- relay by a name of their own, so that it can gather some of them. All others wake it at once, as ever.
CREATE OR REPLACE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
    IF EXISTS (SELECT FROM added WHERE topic <> 'tambour.deliveries') THEN
        PERFORM pg_notify('outbox', '');
    ELSE
        PERFORM pg_notify('outbox_status', '');
    END IF;
    RETURN NULL;
END $$;
DROP TRIGGER outbox_notify ON outbox;
CREATE TRIGGER outbox_notify AFTER INSERT ON outbox REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify();

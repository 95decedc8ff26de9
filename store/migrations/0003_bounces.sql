-- Why an address hears nothing: its owner left, complained to their provider, the address does not exist, or it has
-- taken nothing for weeks. What its owner wished outranks what mail servers said.
ALTER TABLE suppression ADD COLUMN kind text NOT NULL DEFAULT 'left'
    CHECK (kind IN ('left', 'complaint', 'dead', 'refused'));

-- Every suppression and every way back, whatever door it came by: an address, so personal data.
CREATE TABLE suppression_journal (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    authority_id bigint NOT NULL REFERENCES authority,
    channel      text NOT NULL,
    address      text NOT NULL,
    stream       text NOT NULL,
    kind         text NOT NULL,
    reason       text NOT NULL,
    act          text NOT NULL CHECK (act IN ('suppressed', 'restored')),
    -- who did it and why, as the transaction says in tambour.by and tambour.why; NULL is the owner of the address
    by           text,
    why          text,
    at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX suppression_journal_address ON suppression_journal (authority_id, channel, address, at);

-- Mails that came back because the mailbox is full, closed or unreachable: five in a month, over a week or more and
-- none delivered between, and it is given up. ``at`` is when the mail was sent.
CREATE TABLE mailbox_fault (
    authority_id bigint NOT NULL REFERENCES authority,
    channel      text NOT NULL,
    address      text NOT NULL,
    order_id     bigint NOT NULL,
    at           timestamptz NOT NULL,
    PRIMARY KEY (authority_id, channel, address, order_id)
);

CREATE FUNCTION suppression_journalled() RETURNS trigger LANGUAGE plpgsql AS
$$
DECLARE
    one suppression;
BEGIN
    IF TG_OP = 'DELETE' THEN
        one := OLD;
        -- what came back before says nothing of an address that its owner, or an officer, has mended
        DELETE FROM mailbox_fault
        WHERE authority_id = OLD.authority_id AND channel = OLD.channel AND address = OLD.address;
    ELSE
        one := NEW;
    END IF;
    INSERT INTO suppression_journal (authority_id, channel, address, stream, kind, reason, act, by, why)
    VALUES (one.authority_id, one.channel, one.address, one.stream, one.kind, one.reason,
            CASE TG_OP WHEN 'DELETE' THEN 'restored' ELSE 'suppressed' END,
            nullif(current_setting('tambour.by', true), ''), nullif(current_setting('tambour.why', true), ''));
    RETURN NULL;
END
$$;
CREATE TRIGGER suppression_journalled AFTER INSERT OR UPDATE OR DELETE ON suppression
    FOR EACH ROW EXECUTE FUNCTION suppression_journalled();

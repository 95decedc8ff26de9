-- The hub's truth. Personal data lives in recipient, suppression, receipt and dead_letter only.

CREATE TABLE authority (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code        text NOT NULL UNIQUE,
    parent_id   bigint REFERENCES authority,
    name        text NOT NULL,
    time_zone   text NOT NULL DEFAULT 'Europe/Paris',
    languages   text[] NOT NULL DEFAULT '{fr}',
    identity    jsonb NOT NULL,
    -- a new authority writes to its allow-list only, until somebody opens it
    restricted  boolean NOT NULL DEFAULT true
);

CREATE TABLE area (
    authority_id bigint NOT NULL REFERENCES authority ON DELETE CASCADE,
    code         text NOT NULL,
    name         text NOT NULL,
    PRIMARY KEY (authority_id, code)
);

CREATE TABLE theme (
    authority_id bigint NOT NULL REFERENCES authority ON DELETE CASCADE,
    code         text NOT NULL,
    label        jsonb NOT NULL,
    PRIMARY KEY (authority_id, code)
);

CREATE TABLE rule_set (
    authority_id bigint PRIMARY KEY REFERENCES authority ON DELETE CASCADE,
    filename     text NOT NULL,
    source       text NOT NULL,
    imported_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE recipient (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    authority_id bigint NOT NULL REFERENCES authority,
    channel      text NOT NULL,
    address      text NOT NULL,
    language     text NOT NULL DEFAULT 'fr',
    -- an account of the authority itself: hears everything on its channel, subscribes to nothing
    broadcast    boolean NOT NULL DEFAULT false,
    allow_listed boolean NOT NULL DEFAULT false,
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (authority_id, channel, address)
);
CREATE INDEX recipient_page ON recipient (authority_id, channel, id);

CREATE TABLE subscription (
    recipient_id bigint NOT NULL REFERENCES recipient ON DELETE CASCADE,
    theme        text NOT NULL,
    area         text NOT NULL DEFAULT '',  -- '' is everywhere in the authority
    PRIMARY KEY (recipient_id, theme, area)
);

-- STOP binds the address, not the row: it outlives the recipient's removal and return.
CREATE TABLE suppression (
    authority_id bigint NOT NULL REFERENCES authority,
    channel      text NOT NULL,
    address      text NOT NULL,
    reason       text NOT NULL,
    since        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (authority_id, channel, address)
);

CREATE TABLE announcement (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    authority_id bigint NOT NULL REFERENCES authority,
    matter       text NOT NULL,
    revision     integer NOT NULL,
    version      integer NOT NULL,
    withdrawn_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (authority_id, matter)
);

CREATE TABLE event (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source          text NOT NULL,
    event_id        text NOT NULL,
    type            text NOT NULL,
    authority_id    bigint REFERENCES authority,
    matter          text,
    revision        integer,
    action          text,
    outcome         text NOT NULL CHECK (outcome IN
                        ('announced', 'stale', 'no_rule', 'superseded', 'nothing_to_end')),
    occurred_at     timestamptz,
    received_at     timestamptz NOT NULL DEFAULT now(),
    seen            integer NOT NULL DEFAULT 1,
    announcement_id bigint REFERENCES announcement,
    version         integer,
    payload         jsonb NOT NULL,
    UNIQUE (source, event_id)
);
CREATE INDEX event_announcement ON event (announcement_id);

CREATE TABLE announcement_version (
    announcement_id bigint NOT NULL REFERENCES announcement ON DELETE CASCADE,
    version         integer NOT NULL,
    content         jsonb NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (announcement_id, version)
);

CREATE TABLE delivery_order (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    announcement_id bigint NOT NULL,
    version         integer NOT NULL,
    authority_id    bigint NOT NULL REFERENCES authority,
    channel         text NOT NULL,
    family          text NOT NULL,
    lane            text NOT NULL,
    broadcast       boolean NOT NULL,
    -- who hears it: those subscribed now, those who may hold an earlier version, or both
    audience        text NOT NULL DEFAULT 'matches' CHECK (audience IN ('matches', 'holders', 'both')),
    expires         timestamptz NOT NULL,
    -- the audience is read in pages after this recipient id; recipients is the number so far
    page_cursor     bigint NOT NULL DEFAULT 0,
    recipients      bigint NOT NULL DEFAULT 0,
    -- when its fan-out last moved: one that stands still is driven again by the clock
    moved_at        timestamptz NOT NULL DEFAULT now(),
    fanned_out_at   timestamptz,
    created_at      timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (announcement_id, version) REFERENCES announcement_version,
    UNIQUE (announcement_id, version, channel)
);
CREATE INDEX delivery_order_fan_out ON delivery_order (moved_at) WHERE fanned_out_at IS NULL;

CREATE TABLE batch (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id   bigint NOT NULL REFERENCES delivery_order,
    authority_id bigint NOT NULL,
    channel    text NOT NULL,
    family     text NOT NULL,
    lane       text NOT NULL,
    members    bigint[] NOT NULL,
    -- the window being sent: committed before it is handed over, so that after a crash the next owner knows
    -- which outcomes are unclear, and a correction knows who may hold the earlier version
    in_flight  bigint[] NOT NULL DEFAULT '{}',
    in_flight_since timestamptz,
    state      text NOT NULL CHECK (state IN ('waiting', 'dispatched', 'claimed', 'done')),
    epoch      integer NOT NULL DEFAULT 0,
    owner      text,
    -- dispatched: when to dispatch again if nobody claimed it; claimed: when its owner counts as gone
    lease_until timestamptz,
    not_before timestamptz NOT NULL DEFAULT now(),
    waits_for  text,
    changed_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
-- Batches are hundreds of times fewer than deliveries: here, and only here, state may be indexed.
CREATE INDEX batch_waiting ON batch (family, lane, not_before, id) WHERE state = 'waiting';
CREATE INDEX batch_under_way ON batch (family, lane) WHERE state IN ('dispatched', 'claimed');
CREATE INDEX batch_order ON batch (order_id);

-- No index mentions standing, due time or provider reference: one would end HOT updates.
CREATE TABLE delivery (
    order_id     bigint NOT NULL,
    recipient_id bigint NOT NULL,
    standing     integer NOT NULL,
    tries        smallint NOT NULL DEFAULT 0,
    sent_at      timestamptz,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (order_id, recipient_id)
) PARTITION BY RANGE (order_id);
-- Partitions of 100,000 orders; the clock makes the next one long before it is needed.
CREATE TABLE delivery_0 PARTITION OF delivery FOR VALUES FROM (0) TO (100000) WITH (fillfactor = 50);

-- What a delivery waits for, and until when: another try, the answer to an unknown outcome, or an officer (until
-- the announcement expires).
CREATE TABLE due (
    order_id     bigint NOT NULL,
    recipient_id bigint NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('retry', 'resolve', 'officer')),
    at           timestamptz NOT NULL,
    PRIMARY KEY (order_id, recipient_id)
);
CREATE INDEX due_at ON due (at);

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
);

CREATE TABLE provider_reference (
    channel      text NOT NULL,
    reference    text NOT NULL,
    order_id     bigint NOT NULL,
    recipient_id bigint NOT NULL,
    attempt      smallint NOT NULL,
    PRIMARY KEY (channel, reference)
);

CREATE TABLE receipt (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel      text NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('receipt', 'inbound', 'bounce')),
    digest       bytea NOT NULL UNIQUE,
    body         bytea NOT NULL,
    -- how the door could tell whose it is, when it could (VERP): a public delivery id and an attempt
    hint         text,
    -- the provider's id of the message it speaks of, when it gave one
    reference    text,
    received_at  timestamptz NOT NULL DEFAULT now(),
    outcome      text CHECK (outcome IN ('bound', 'unbound', 'opted_out', 'opted_in', 'ignored')),
    order_id     bigint,
    recipient_id bigint
);
CREATE INDEX receipt_delivery ON receipt (order_id, recipient_id);
CREATE INDEX receipt_unbound ON receipt (received_at) WHERE outcome IS NULL OR outcome = 'unbound';

CREATE TABLE notice (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    authority_id bigint NOT NULL REFERENCES authority,
    content      jsonb NOT NULL,
    urgent       boolean NOT NULL,
    local_time   text NOT NULL,
    due_at       timestamptz NOT NULL,
    tolerance    interval NOT NULL,
    state        text NOT NULL DEFAULT 'scheduled' CHECK (state IN ('scheduled', 'emitted', 'cancelled', 'asks')),
    changed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX notice_due ON notice (due_at) WHERE state = 'scheduled';

CREATE TABLE hold (
    scope  text NOT NULL CHECK (scope IN ('hub', 'authority', 'channel', 'announcement')),
    key    text NOT NULL,
    reason text NOT NULL,
    since  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);

CREATE TABLE daily_cap (
    authority_id bigint NOT NULL REFERENCES authority,
    channel      text NOT NULL,
    cap          bigint NOT NULL,
    PRIMARY KEY (authority_id, channel)
);

CREATE TABLE daily_use (
    authority_id bigint NOT NULL REFERENCES authority,
    channel      text NOT NULL,
    day          date NOT NULL,
    used         bigint NOT NULL,
    PRIMARY KEY (authority_id, channel, day)
);

CREATE TABLE outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic   text NOT NULL,
    key     bytea,
    value   bytea NOT NULL,
    headers jsonb
);
CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_notify('outbox', ''); RETURN NULL; END $$;
CREATE TRIGGER outbox_notify AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify();

CREATE TABLE intake_attempt (
    topic        text NOT NULL,
    partition_no integer NOT NULL,
    message_offset bigint NOT NULL,
    attempts     integer NOT NULL DEFAULT 1,
    PRIMARY KEY (topic, partition_no, message_offset)
);

CREATE TABLE dead_letter (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text NOT NULL,
    partition_no integer NOT NULL,
    message_offset bigint NOT NULL,
    digest       bytea NOT NULL,
    key          bytea,
    value        bytea,
    headers      jsonb NOT NULL DEFAULT '[]',
    reason       text NOT NULL,
    detail       text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'put_back')),
    put_back_at  timestamptz,
    UNIQUE (topic, partition_no, message_offset, digest)
);

-- What a social network was, or is to be, told for a delivery: one row a call, committed before the call, so that a
-- crash in the middle of a thread resumes it and makes no second head.
CREATE TABLE post (
    order_id     bigint NOT NULL REFERENCES delivery_order,
    recipient_id bigint NOT NULL,
    number       smallint NOT NULL,
    act          text NOT NULL CHECK (act IN ('publish', 'edit', 'delete')),
    text         text NOT NULL,
    -- the provider's reference of the post that is changed or taken back
    target       text,
    -- what a new post answers: that reference, or with 'previous' the post of the row before
    answers      text,
    -- when it was first about to be handed over, and last; open: handed over, and no answer recorded
    begun_at     timestamptz,
    tried_at     timestamptz,
    attempt      smallint NOT NULL DEFAULT 1,
    open         boolean NOT NULL DEFAULT false,
    reference    text,
    url          text,
    done_at      timestamptz,
    PRIMARY KEY (order_id, recipient_id, number)
);

-- The library of pictures: without metadata, with what they show in words, and who may use them.
CREATE TABLE picture (
    authority_id bigint NOT NULL REFERENCES authority ON DELETE CASCADE,
    name         text NOT NULL,
    content      bytea NOT NULL,
    media_type   text NOT NULL,
    width        integer NOT NULL,
    height       integer NOT NULL,
    alt          jsonb NOT NULL,
    rights       text NOT NULL,
    added_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (authority_id, name)
);

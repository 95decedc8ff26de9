-- When an authority last had a turn on a road: where more of them wait than there are hands, whoever waits longest is next.
CREATE TABLE served (
    family       text NOT NULL,
    lane         text NOT NULL,
    authority_id bigint NOT NULL REFERENCES authority ON DELETE CASCADE,
    at           timestamptz NOT NULL,
    PRIMARY KEY (family, lane, authority_id)
) WITH (fillfactor = 50);

-- What accounts at providers take, known to every worker and over a restart (docs/adr/0017).

-- A token bucket each: so many tokens were there at a moment; what has refilled since is reckoned when it is read.
-- Made when its account is first used: a fresh one is full. booked: until then, what refills is promised to those
-- who wait already, so that they come back one after the other.
CREATE TABLE rate_bucket (
    channel text NOT NULL,
    account text NOT NULL,
    tokens  double precision NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    booked  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (channel, account)
) WITH (fillfactor = 50);

-- A provider asked that this account be left alone: every worker reads it when it opens a window.
CREATE TABLE provider_pause (
    channel text NOT NULL,
    account text NOT NULL,
    until   timestamptz NOT NULL,
    reason  text NOT NULL DEFAULT '',
    PRIMARY KEY (channel, account)
);

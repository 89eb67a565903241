-- A schedule is known by a hash of what its slots follow from: an index takes no long input.
UPDATE slots SET schedule = left(encode(sha256(convert_to(schedule, 'UTF8')), 'hex'), 32);
UPDATE slots SET refused = 'concurrency' WHERE refused = 'full';

-- `refused` says why a slot started nothing. With neither run nor reason it waits for the run before it to end.
ALTER TABLE slots
    ADD COLUMN last_at timestamptz,  -- of a row that stands for several slots: the last of them
    ADD COLUMN count   integer,      -- of such a row: how many; NULL: more than were counted
    ADD COLUMN open    boolean NOT NULL DEFAULT false;  -- of a schedule whose runs may not overlap: not known to have ended
CREATE INDEX slots_open ON slots (deployment_id, schedule, at) WHERE open;
CREATE INDEX slots_by_deployment ON slots (deployment_id, at, schedule);

-- One row per live schedule: whoever holds it decides about its slots. All up to `upto` are fired, or recorded.
CREATE TABLE tickers (
    deployment_id bigint NOT NULL,
    schedule      text NOT NULL,
    upto          timestamptz NOT NULL,
    PRIMARY KEY (deployment_id, schedule)
) WITH (fillfactor = 50);
INSERT INTO tickers (deployment_id, schedule, upto) SELECT deployment_id, schedule, max(at) FROM slots GROUP BY 1, 2;

-- Slots of the past that somebody wants to run, a few at a time.
CREATE TABLE backfills (
    id            uuid PRIMARY KEY,
    deployment_id bigint NOT NULL,
    schedule      text NOT NULL,        -- as in `slots`
    said          json NOT NULL,        -- the schedule: {cron or every, timezone, dst}
    input         json,
    from_at       timestamptz NOT NULL,
    until_at      timestamptz NOT NULL,
    max_parallel  integer NOT NULL,
    reverse       boolean NOT NULL,
    state         text NOT NULL CHECK (state IN ('running', 'completed', 'cancelled')),
    reason        text,                 -- why it does not go on, or was cancelled
    actor         text NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at      timestamptz,
    CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX backfills_running ON backfills (id) WHERE state = 'running';
CREATE INDEX backfills_by_deployment ON backfills (deployment_id, id);

CREATE TABLE backfill_slots (
    backfill_id uuid NOT NULL,
    position    integer NOT NULL,       -- in the order in which they begin
    at          timestamptz NOT NULL,
    run_id      uuid,
    ended       boolean NOT NULL DEFAULT false,  -- its run is known to have ended
    PRIMARY KEY (backfill_id, position)
);
CREATE INDEX backfill_slots_left ON backfill_slots (backfill_id, position) WHERE NOT ended;

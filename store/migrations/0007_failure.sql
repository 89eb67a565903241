-- Runs that used up their attempts, or took workers with them: the inbox of what somebody has to look at. Written by
-- the transaction that ends the run. Not an index over `runs.status`: claiming changes that, and must touch no index.
CREATE TABLE dead_letters (
    run_id        uuid PRIMARY KEY,
    deployment_id bigint NOT NULL,
    pattern       text NOT NULL,
    error_type    text NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'retried', 'discarded')),
    settled_at    timestamptz,
    settled_by    text,
    retried_as    uuid,
    CHECK ((state = 'open') = (settled_at IS NULL)),
    CHECK ((state = 'retried') = (retried_as IS NOT NULL))
);
CREATE INDEX dead_letters_open ON dead_letters (run_id) WHERE state = 'open';

-- What ended so before there was an inbox. PostgreSQL looks into no JSON that holds a null character.
INSERT INTO dead_letters (run_id, deployment_id, pattern, error_type, at)
SELECT id, deployment_id, pattern,
       coalesce(CASE WHEN position('\u0000' IN error::text) = 0 THEN error ->> 'type' END, 'unknown'), ended_at
FROM runs
WHERE status = 'dead_letter' AND ended_at IS NOT NULL;

-- What admission looks at, as the live revision has it: written with every revision. NULL: there is none.
ALTER TABLE deployments
    ADD COLUMN concurrency json,
    ADD COLUMN breaker     json,
    ADD COLUMN error_from  text[],  -- globs of the patterns whose bad ends start a run of this
    -- True while runs are refused; `circuits` has the rest. A circuit is state, never a commit.
    ADD COLUMN circuit_open boolean NOT NULL DEFAULT false;
CREATE INDEX deployments_limited ON deployments (organisation, environment, pattern) WHERE concurrency IS NOT NULL;
CREATE INDEX deployments_for_errors ON deployments (organisation, environment) WHERE error_from IS NOT NULL;

-- Of a run that obeys a limit: whose (of a called run that of its own pattern's deployment), and its key. It holds
-- a slot from admission to its end, or waits for one since `queued_at`. Claiming changes none of these.
ALTER TABLE runs
    ADD COLUMN limited_by bigint,
    ADD COLUMN limit_key  text,
    ADD COLUMN queued_at  timestamptz;
CREATE INDEX runs_holding ON runs (limited_by, limit_key, id)
    WHERE ended_at IS NULL AND limited_by IS NOT NULL AND queued_at IS NULL;
CREATE INDEX runs_queued ON runs (limited_by, limit_key, queued_at, id) WHERE queued_at IS NOT NULL;

-- Why a slot of a schedule started nothing; NULL: it did.
ALTER TABLE slots ADD COLUMN refused text;

CREATE TABLE circuits (
    deployment_id bigint PRIMARY KEY,
    failures      json NOT NULL DEFAULT '[]',  -- the last ones: [{at, run, type, message}], the oldest first
    opened_at     timestamptz,                 -- NULL: closed
    try_at        timestamptz,                 -- from when on one run is let in
    probe         uuid                         -- that run
);
CREATE INDEX circuits_probing ON circuits (deployment_id) WHERE probe IS NOT NULL;

-- Of a replay: start, failed, or the path of the node from which on it runs again.
ALTER TABLE runs ADD COLUMN replay_from text;

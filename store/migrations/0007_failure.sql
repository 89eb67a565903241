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

-- What ended so before there was an inbox.
INSERT INTO dead_letters (run_id, deployment_id, pattern, error_type, at)
SELECT id, deployment_id, pattern, coalesce(error ->> 'type', 'unknown'), ended_at FROM runs
WHERE status = 'dead_letter' AND ended_at IS NOT NULL;

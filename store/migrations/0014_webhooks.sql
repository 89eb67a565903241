-- What a `respond` node said to the caller: the first answer of a run counts.
ALTER TABLE runs ADD COLUMN answer json;

-- Keys of calls that start one run however often they come: of webhooks (`dedupe`) and of the API (`Idempotency-Key`).
-- Hashes: a key may be long, and may be nobody's business.
CREATE TABLE run_keys (
    deployment_id bigint NOT NULL,
    key           bytea NOT NULL,
    body          bytea NOT NULL,  -- the same key with another body is a mistake of the caller
    run_id        uuid NOT NULL,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (deployment_id, key)
);
CREATE INDEX run_keys_by_time ON run_keys (at);
CREATE INDEX run_keys_by_run ON run_keys (run_id);

-- Calls of webhooks that started no run. Those that did are in `runs.trigger`.
CREATE TABLE deliveries (
    id            uuid PRIMARY KEY,
    deployment_id bigint NOT NULL,
    at            timestamptz NOT NULL,
    status        smallint NOT NULL,  -- what was answered
    reason        text NOT NULL,
    detail        text NOT NULL,
    address       text,
    request       json NOT NULL,      -- method, path, query, headers without what is secret
    body          bytea,              -- as it came; NULL: it was not read, or not kept
    more          integer NOT NULL DEFAULT 0,  -- others like it that came with it and were not kept
    run_id        uuid                -- of a repeated call: the run that the first one started
);
CREATE INDEX deliveries_by_deployment ON deliveries (deployment_id, id);
CREATE INDEX deliveries_by_time ON deliveries (at);

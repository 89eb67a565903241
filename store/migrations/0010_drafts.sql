-- What runs in test mode without being deployed: what a deployment's spec would say, and `stubs` that stand in place
-- of nodes. The content is a version like any other, mostly without a number.
CREATE TABLE drafts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation text NOT NULL,
    pattern      text NOT NULL,
    environment  text NOT NULL,
    variables    json NOT NULL DEFAULT '{}',
    stubs        json NOT NULL DEFAULT '{}',
    commit       text,  -- what it was made from, with or without changes; NULL: there was none
    made_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- A run is either a deployment's (live) or a draft's (test). Whatever is counted by deployment never sees a test.
ALTER TABLE runs ALTER COLUMN deployment_id DROP NOT NULL, ADD COLUMN draft_id bigint;
-- NOT VALID: rows from before all have a deployment, and need not be read under the lock.
ALTER TABLE runs ADD CONSTRAINT runs_mode CHECK ((deployment_id IS NULL) <> (draft_id IS NULL)) NOT VALID;
CREATE INDEX runs_tests ON runs (id) WHERE draft_id IS NOT NULL;
CREATE INDEX runs_tests_open ON runs (draft_id) WHERE draft_id IS NOT NULL AND ended_at IS NULL;

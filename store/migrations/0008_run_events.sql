-- What people and programs post to a run. An event waits for the node that takes it, however early it comes.

CREATE TABLE run_events (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id   uuid NOT NULL,
    name     text NOT NULL,
    body     json,
    actor    text,
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    taken_by text
);
CREATE INDEX run_events_by_run ON run_events (run_id, id);

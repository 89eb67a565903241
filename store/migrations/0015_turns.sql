-- Uses of the connections that have a `maxConcurrent`: taken ones, and those that wait for their turn, in this order.
-- One counts as long as its run has that very lease: claiming and freeing both raise it, so nothing of a worker that
-- died counts, and nothing has to be cleared away in time. `environment` is '' for those that count together.
CREATE TABLE turns (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation text NOT NULL,
    connection   text NOT NULL,
    environment  text NOT NULL,
    run_id       uuid NOT NULL,
    lease        integer NOT NULL,
    token        uuid NOT NULL UNIQUE,  -- who asks again, because the answer was lost, gets the same turn
    taken_at     timestamptz
);
CREATE INDEX turns_of ON turns (organisation, connection, environment, id);

-- What listens to errors: which of them started no run, and why. Who decides about one holds its row.
CREATE TABLE error_triggers (
    deployment_id bigint PRIMARY KEY,
    passed_over   jsonb NOT NULL DEFAULT '{}'  -- reason → {count, firstAt, lastAt, run, pattern}
);

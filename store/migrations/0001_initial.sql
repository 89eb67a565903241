-- What ran, and what is live at this moment. Versions, deployments and repositories can be rebuilt from Git;
-- runs, spans and tokens cannot.

CREATE TABLE repositories (
    organisation   text PRIMARY KEY,
    default_branch text NOT NULL DEFAULT 'main',
    -- Both commits are kept, so that "what is live" and "what was tried last, and why not" are one look away.
    tried_commit   text,
    tried_at       timestamptz,
    applied_commit text,
    applied_at     timestamptz,
    problems       json NOT NULL DEFAULT '[]',
    project        json NOT NULL DEFAULT '{}',
    -- A hash over every branch and tag as they were last applied: differs when a push moved refs and then died.
    refs_digest    text,
    -- Raised by every apply: what a process remembers about this repository is true while this has not moved.
    generation     bigint NOT NULL DEFAULT 0
);

-- Content, addressed by its hash: immutable, shared by all organisations that have the same.
CREATE TABLE versions (
    id      text PRIMARY KEY,
    pattern text NOT NULL,
    content json NOT NULL
);

CREATE TABLE assets (
    id      text PRIMARY KEY,
    content bytea NOT NULL
);

-- Where and when an organisation's history first held a version. The number is a function of that history;
-- NULL for content that has not been on the default branch.
CREATE TABLE freezes (
    organisation text NOT NULL,
    version_id   text NOT NULL REFERENCES versions,
    pattern      text NOT NULL,
    number       integer,
    commit       text NOT NULL,
    author       text NOT NULL,
    message      text NOT NULL,
    frozen_at    timestamptz NOT NULL,
    PRIMARY KEY (organisation, version_id),
    UNIQUE (organisation, pattern, number)
);

-- Rows stay when a deployment is undeployed: its runs and its webhook URL belong to the name.
CREATE TABLE deployments (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation text NOT NULL,
    name         text NOT NULL,
    pattern      text NOT NULL,
    environment  text NOT NULL,
    state        text NOT NULL CHECK (state IN ('active', 'paused', 'archived', 'undeployed')),
    version_id   text REFERENCES versions,
    revision     integer NOT NULL DEFAULT 0,
    hook_token   text NOT NULL UNIQUE,
    conditions   json NOT NULL DEFAULT '[]',
    tried_commit text,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation, name),
    -- What starts runs has a version to start them with.
    CHECK (state <> 'active' OR version_id IS NOT NULL)
);

-- One change of a deployment: which version and spec, by which commit, by whom. Runs point here.
CREATE TABLE revisions (
    deployment_id bigint NOT NULL REFERENCES deployments,
    revision      integer NOT NULL,
    state         text NOT NULL,
    version_id    text REFERENCES versions,
    spec          json NOT NULL,
    metadata      json NOT NULL DEFAULT '{}',
    commit        text NOT NULL,
    author        text NOT NULL,
    message       text NOT NULL,
    actor         text,
    at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (deployment_id, revision)
);

-- `json`, not `jsonb`: nothing asks inside these values, text is cheaper to write, keeps numbers as they came,
-- and takes the \u0000 that jsonb refuses.
CREATE TABLE runs (
    id            uuid PRIMARY KEY,
    deployment_id bigint NOT NULL,     -- no foreign key: its row lock would serialise acceptance; deployments are never deleted
    revision      integer NOT NULL,
    version_id    text NOT NULL,
    pattern       text NOT NULL,
    status        text NOT NULL,
    trigger_kind  text NOT NULL,
    trigger       json NOT NULL,
    input         json,
    output        json,
    error         json,
    attempt       smallint NOT NULL DEFAULT 1,
    actor         text,
    parent_id     uuid,
    parent_path   text,
    root_id       uuid,
    depth         smallint NOT NULL DEFAULT 0,
    replay_of     uuid,
    -- Who may write to this run: claiming and freeing both raise `lease`, so a worker that lost it writes nothing.
    lease         integer NOT NULL DEFAULT 0,
    worker        text,
    crashes       smallint NOT NULL DEFAULT 0,
    -- A wake-up that came while the run was still at work: it must not go to sleep over it.
    woken         boolean NOT NULL DEFAULT false,
    cancelled     boolean NOT NULL DEFAULT false,
    -- When the sweeper looks at it unless something happened: pending: rings again; running: the lease is over.
    due_at        timestamptz NOT NULL,
    -- Of a waiting run alone: its timer, or infinity where only a called run or a person can wake it.
    wake_at       timestamptz,
    created_at    timestamptz NOT NULL,
    started_at    timestamptz,
    ended_at      timestamptz
) WITH (fillfactor = 50);
-- No index names what claiming changes (status, lease, due_at): with the room that the fill factor leaves, a
-- claim is a heap-only update that touches no index at all.
CREATE INDEX runs_at_work ON runs (id) WHERE ended_at IS NULL AND wake_at IS NULL;
CREATE INDEX runs_timers ON runs (wake_at) WHERE wake_at IS NOT NULL;
CREATE INDEX runs_by_deployment ON runs (deployment_id, id);
CREATE INDEX runs_by_parent ON runs (parent_id) WHERE parent_id IS NOT NULL;

-- The journal: one row per node of one attempt of a run.
CREATE TABLE spans (
    run_id       uuid NOT NULL,
    run_attempt  smallint NOT NULL,
    path         text NOT NULL,
    status       text NOT NULL,
    attempt      smallint NOT NULL,
    started_at   timestamptz,
    ended_at     timestamptz,
    output       json,
    error        json,
    log          json,
    wake_at      timestamptz,
    child_run_id uuid,
    PRIMARY KEY (run_id, run_attempt, path)
);

-- One row per schedule and instant: whoever inserts it fires.
CREATE TABLE slots (
    deployment_id bigint NOT NULL,
    schedule      text NOT NULL,
    at            timestamptz NOT NULL,
    run_id        uuid,
    PRIMARY KEY (deployment_id, schedule, at)
);

CREATE TABLE tokens (
    id           uuid PRIMARY KEY,
    organisation text NOT NULL,
    user_name    text NOT NULL,
    role         text NOT NULL CHECK (role IN ('viewer', 'editor', 'operator', 'admin')),
    hash         bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz
);

-- Pull requests of the repository that is mirrored, at the forge that keeps it. An event is durable here before
-- its sender hears so; the controller asks the forge, and tells the plan there. Cannot be rebuilt from Git.
CREATE TABLE pull_requests (
    organisation text NOT NULL,
    forge        text NOT NULL CHECK (forge IN ('github', 'gitlab', 'gitea')),
    repository   text NOT NULL,  -- owner/name in lower case: another upstream numbers from 1 again
    number       integer NOT NULL,
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'given-up')),
    -- Raised by every event: what was done for an older one does not settle the newer.
    events       bigint NOT NULL DEFAULT 1,
    told_events  bigint NOT NULL DEFAULT 0,  -- the last one after which the forge was asked and told
    head         text,
    onto         text,  -- the default branch's commit that the last plan was made against
    said         text,  -- a hash of what the comment and the status say
    comment      text,  -- its id at the forge
    attempts     integer NOT NULL DEFAULT 0,
    due_at       timestamptz DEFAULT now(),  -- NULL: nothing is to be done. A claim puts it off.
    claimed      boolean NOT NULL DEFAULT false,  -- somebody is at it, until it is due
    error        text,  -- why the last attempt did not succeed
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, forge, repository, number)
);
CREATE INDEX pull_requests_due ON pull_requests (due_at) WHERE due_at IS NOT NULL;

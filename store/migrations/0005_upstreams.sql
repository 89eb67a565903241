-- How the mirror of a repository that is kept elsewhere does. Written anew by each look at it.
CREATE TABLE upstreams (
    organisation  text PRIMARY KEY,
    url           text NOT NULL,  -- without credentials
    looked_at     timestamptz NOT NULL,
    synced_at     timestamptz,  -- the last look that did all that it had to; NULL: none yet
    failing_since timestamptz,  -- NULL: the last look reached it, and nothing stood in the way
    error         text,
    apart         jsonb NOT NULL,  -- [{ref, here, there, reason, resolve: [command]}]
    skipped       jsonb NOT NULL   -- [{ref, reason}]
);

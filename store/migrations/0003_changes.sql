-- What people said of branches under review. Cannot be rebuilt from Git.
CREATE TABLE approvals (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation text NOT NULL,
    branch       text NOT NULL,
    head         text NOT NULL,     -- the commit that was approved
    plan         text NOT NULL,     -- a hash over what it would have changed then
    user_name    text NOT NULL,
    admin        boolean NOT NULL,  -- by a token with that role
    message      text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    UNIQUE (organisation, branch, head, plan, user_name)
);

-- The last time that a branch was closed: until it is pushed again.
CREATE TABLE closures (
    organisation text NOT NULL,
    branch       text NOT NULL,
    head         text NOT NULL,
    user_name    text NOT NULL,
    message      text NOT NULL,
    at           timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, branch)
);

-- Who pushed a commit first.
CREATE INDEX ref_moves_by_new ON ref_moves (organisation, new, id);

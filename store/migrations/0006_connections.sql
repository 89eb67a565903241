-- The connections of the default branch as they were applied last. Secrets stand in them by name only.
CREATE TABLE connections (
    organisation text NOT NULL,
    name         text NOT NULL,
    spec         json NOT NULL,  -- as written: `type`, `url`, …, `environments`
    commit       text NOT NULL,  -- the head that brought this spec
    applied_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (organisation, name)
);

-- Which node (by its path in the pattern) of which run was given which secret, and when first. Values are nowhere here.
CREATE TABLE secret_uses (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id       uuid NOT NULL,
    organisation text NOT NULL,
    environment  text NOT NULL,
    name         text NOT NULL,
    path         text NOT NULL,
    at           timestamptz NOT NULL,
    UNIQUE (run_id, path, name)
);
CREATE INDEX secret_uses_by_name ON secret_uses (organisation, name, id);

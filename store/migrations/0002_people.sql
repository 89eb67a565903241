ALTER TABLE tokens ADD COLUMN created_by text;

-- Who moved which branch or tag, from where to where. Cannot be rebuilt from Git.
CREATE TABLE ref_moves (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation text NOT NULL,
    ref          text NOT NULL,
    old          text,  -- NULL: it was not there
    new          text,  -- NULL: it is gone
    user_name    text,  -- NULL: found to have moved; no push that Weft finished did it
    at           timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ref_moves_by_ref ON ref_moves (organisation, ref, id);
CREATE INDEX ref_moves_by_time ON ref_moves (organisation, id);

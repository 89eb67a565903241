-- The data key of an organisation's secrets, sealed with a key that is derived from the installation key: so it can be
-- replaced, with every secret encrypted anew, while the installation key (and all that is derived from it) stays.
CREATE TABLE secret_keys (
    organisation text PRIMARY KEY,
    id           uuid NOT NULL,
    sealed       bytea NOT NULL,
    sealed_by    text NOT NULL,  -- by which this installation key is known from another: no part of it
    made_at      timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE secrets (
    organisation text NOT NULL,
    environment  text NOT NULL,  -- empty: of all environments
    name         text NOT NULL,
    key_id       uuid NOT NULL,
    sealed       bytea NOT NULL,  -- nonce, ciphertext, tag; bound to organisation, environment, name and key
    version      integer NOT NULL DEFAULT 1,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    updated_by   text NOT NULL,
    PRIMARY KEY (organisation, environment, name)
);

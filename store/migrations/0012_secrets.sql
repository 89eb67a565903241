-- The data key of an organisation's secrets, sealed with a key that the processes are given (WEFT_SECRETS_KEY, else the
-- installation key): either can be replaced while the installation key, and the webhook URLs that come of it, stay.
CREATE TABLE secret_keys (
    organisation text PRIMARY KEY,
    id           uuid NOT NULL,
    sealed       bytea NOT NULL,
    sealed_by    text NOT NULL,  -- by which that key is known from another: no part of it
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

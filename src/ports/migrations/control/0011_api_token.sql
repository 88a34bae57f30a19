-- Service accounts: programs of a tenant that use the API. They have roles like people and are disabled, confirmed and
-- reported like people, but nobody signs in as one: all they have is tokens.

ALTER TABLE account ADD COLUMN service boolean NOT NULL DEFAULT false,
                    ADD CONSTRAINT account_service CHECK (NOT service OR (password_sealed IS NULL AND email = ''));

-- Whatever goes wrong above: no session, no ticket, no second factor and no identity provider's person for one.
CREATE FUNCTION service_account_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM account a WHERE a.id = NEW.account AND a.service) THEN
        RAISE EXCEPTION 'a service account has tokens only' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER service_account BEFORE INSERT ON session_family FOR EACH ROW EXECUTE FUNCTION service_account_refuse();
CREATE TRIGGER service_account BEFORE INSERT ON ticket FOR EACH ROW EXECUTE FUNCTION service_account_refuse();
CREATE TRIGGER service_account BEFORE INSERT ON factor FOR EACH ROW EXECUTE FUNCTION service_account_refuse();
CREATE TRIGGER service_account BEFORE INSERT ON account_link FOR EACH ROW EXECUTE FUNCTION service_account_refuse();

-- A token is 32 random bytes; here is only their SHA-256 (mg_secret_hash). Ending one is deleting it: the audit log
-- remembers. What it may is what its account holds at the moment, and of that at most these permissions.
CREATE TABLE api_token (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    token_hash bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    label text NOT NULL CHECK (octet_length(label) <= 127),
    hint text NOT NULL CHECK (octet_length(hint) <= 15), -- its first characters, to tell it from others
    permissions text NOT NULL CHECK (octet_length(permissions) <= 2048), -- keywords, spaces between
    created_by text NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    last_used_at timestamptz, -- to ten minutes
    last_address text NOT NULL DEFAULT ''
) WITH (fillfactor = 80);
CREATE INDEX api_token_account ON api_token (account, id);

-- Answers to requests with an Idempotency-Key, for a day. Without a status: the request has not ended.
CREATE TABLE api_answer (
    token bigint NOT NULL REFERENCES api_token ON DELETE CASCADE,
    key text NOT NULL CHECK (octet_length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL CHECK (octet_length(request_hash) = 32), -- of method, target and body
    begun_at timestamptz NOT NULL,
    status bigint,
    place text NOT NULL DEFAULT '',
    body text NOT NULL DEFAULT '' CHECK (octet_length(body) <= 65536),
    PRIMARY KEY (token, key)
);
CREATE INDEX api_answer_begun ON api_answer (begun_at);

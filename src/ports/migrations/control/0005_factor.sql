-- What people give besides their password, and which sign-ins gave it.

-- kind `totp`: an authenticator app (RFC 6238); `passkey`: a WebAuthn credential. One that is not confirmed is
-- being set up by the holder of `begun_by` (SHA-256 of what shows it: a ticket, or a family) and counts for nothing.
CREATE TABLE factor (
    id bigint PRIMARY KEY, -- random
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('totp', 'passkey')),
    name text NOT NULL DEFAULT '' CHECK (octet_length(name) <= 128),
    secret_sealed bytea, -- totp: tenant / factor / secret / id
    last_step bigint NOT NULL DEFAULT 0, -- totp: no code of this step or an earlier one is taken again
    credential_id bytea CHECK (octet_length(credential_id) BETWEEN 1 AND 1023), -- passkey, from here on
    public_key bytea CHECK (octet_length(public_key) <= 1024),
    algorithm int,
    sign_count bigint NOT NULL DEFAULT 0,
    begun_by bytea,
    created_at timestamptz NOT NULL,
    confirmed_at timestamptz,
    last_used_at timestamptz,
    CHECK ((kind = 'totp') = (secret_sealed IS NOT NULL)),
    CHECK (kind <> 'passkey' OR confirmed_at IS NULL OR (credential_id IS NOT NULL AND public_key IS NOT NULL))
);
CREATE INDEX factor_account ON factor (account);
CREATE UNIQUE INDEX factor_credential ON factor (credential_id) WHERE credential_id IS NOT NULL;

-- Codes for the day the telephone is lost: keyed hashes (keys, purpose `recovery`) of account and code. Deleted when
-- used, so that each works once.
CREATE TABLE recovery_code (
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    code_hash bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    PRIMARY KEY (account, code_hash)
);

-- When a second factor was last given in this sign-in, and which; NULL: never. The gate asks for it by route.
ALTER TABLE session_family ADD COLUMN second_factor_at timestamptz;
ALTER TABLE session_family ADD COLUMN second_factor text NOT NULL DEFAULT '';

-- Tickets `second` and `enrol` lead from the right password to the second factor. The kinds of tickets and mails are
-- the program's, which writes no others; a list of them here would have to be repeated for each new one.
ALTER TABLE ticket DROP CONSTRAINT ticket_kind_check;
ALTER TABLE mail DROP CONSTRAINT mail_kind_check;

-- family_begin, with what the sign-in gave besides the password, and the roles that the session will carry: NULL if the
-- account has others by now. The families that end are looked up one by one, because an OR of conditions made every
-- sign-in read all families of its tenant.
DROP FUNCTION family_begin(bigint, bigint, bigint, bigint, timestamptz, timestamptz, timestamptz, bigint, text, text, bytea, text,
                           smallint, bytea, int, bytea, text, bytea, timestamptz, bytea, smallint, bytea, bigint);
CREATE FUNCTION family_begin(a_family bigint, a_session bigint, a_tenant bigint, a_account bigint, changed_at timestamptz,
                             a_now timestamptz, a_expires_at timestamptz, a_idle_ms bigint, a_address text, a_user_agent text,
                             a_token_hash bytea, a_host text, a_origin smallint, previous_hash bytea, families_most int,
                             a_code_hash bytea, code_host text, a_binding bytea, code_expires_at timestamptz,
                             account_key bytea, address_kind smallint, address_key bytea, a_stamp bigint,
                             a_second_at timestamptz, a_second text, a_roles text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ended text;
BEGIN
    UPDATE account a SET last_sign_in_at = a_now
        WHERE a.id = a_account AND a.tenant = a_tenant AND a.disabled_at IS NULL AND a.locked_at IS NULL
              AND a.password_changed_at IS NOT DISTINCT FROM changed_at AND a.roles = a_roles;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM attempt_forget(a_tenant, account_key, address_kind, address_key, a_stamp, true);
    WITH gone AS (
        DELETE FROM session_family f
            WHERE f.tenant = a_tenant AND f.id = ANY (ARRAY(
                SELECT s.family FROM session s WHERE s.token_hash = previous_hash
                UNION ALL
                SELECT o.id FROM (SELECT b.id FROM session_family b WHERE b.account = a_account
                                  ORDER BY b.authenticated_at DESC, b.id OFFSET greatest(families_most, 1) - 1) o
                    WHERE families_most > 0))
            RETURNING f.id, f.account)
    SELECT coalesce(string_agg(g.id || ':' || g.account, ' '), '') INTO ended FROM gone g;
    INSERT INTO session_family (id, tenant, account, authenticated_at, last_seen_at, expires_at, idle_ms, address, user_agent,
                                second_factor_at, second_factor)
        VALUES (a_family, a_tenant, a_account, a_now, a_now, a_expires_at, a_idle_ms, a_address, a_user_agent,
                a_second_at, a_second);
    INSERT INTO session (id, family, token_hash, host, origin, created_at, last_seen_at)
        VALUES (a_session, a_family, a_token_hash, a_host, a_origin, a_now, a_now);
    IF a_code_hash <> '' THEN
        INSERT INTO entry_code (code_hash, tenant, family, host, binding, expires_at)
            VALUES (a_code_hash, a_tenant, a_family, code_host, a_binding, code_expires_at);
    END IF;
    RETURN ended;
END $$;

-- Operators need a second factor from here on: nobody stays signed in who has not given one.
DELETE FROM session_family WHERE tenant = 0;

-- A sign-in through an identity provider goes to the database fewer times, and does nothing there that has no effect.

-- What a new family ends, each as family:account: that of the session the browser came with, and the oldest ones
-- beyond families_most - 1 (0: any number may live).
CREATE FUNCTION families_make_room(a_tenant bigint, a_account bigint, previous_hash bytea, families_most int)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ended text;
BEGIN
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
    RETURN ended;
END $$;

CREATE OR REPLACE FUNCTION family_begin(a_family bigint, a_session bigint, a_tenant bigint, a_account bigint, changed_at timestamptz,
                             a_now timestamptz, a_expires_at timestamptz, a_idle_ms bigint, a_address text, a_user_agent text,
                             a_token_hash bytea, a_host text, a_origin smallint, previous_hash bytea, families_most int,
                             a_code_hash bytea, code_host text, a_binding bytea, code_expires_at timestamptz,
                             account_key bytea, address_kind smallint, address_key bytea, a_stamp bigint,
                             a_second_at timestamptz, a_second text, a_roles text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ended text := '';
BEGIN
    UPDATE account a SET last_sign_in_at = a_now
        WHERE a.id = a_account AND a.tenant = a_tenant AND a.disabled_at IS NULL AND a.locked_at IS NULL
              AND a.password_changed_at IS NOT DISTINCT FROM changed_at AND a.roles = a_roles;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    PERFORM attempt_forget(a_tenant, account_key, address_kind, address_key, a_stamp, true);
    IF previous_hash <> '' OR families_most > 0 THEN
        ended := families_make_room(a_tenant, a_account, previous_hash, families_most);
    END IF;
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

CREATE OR REPLACE FUNCTION family_begin_federated(a_family bigint, a_session bigint, a_tenant bigint, a_account bigint, a_provider bigint,
                                       a_subject text, a_provider_session text, a_acr text, a_methods text,
                                       a_authenticated_at timestamptz, a_now timestamptz, a_expires_at timestamptz,
                                       a_idle_ms bigint, a_address text, a_user_agent text, a_token_hash bytea, a_host text,
                                       a_origin smallint, previous_hash bytea, families_most int, a_code_hash bytea,
                                       code_host text, a_binding bytea, code_expires_at timestamptz,
                                       a_second_at timestamptz, a_second text, a_roles text)
RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ended text := '';
BEGIN
    PERFORM 1 FROM identity_provider p WHERE p.id = a_provider AND p.tenant = a_tenant AND p.enabled
        AND (p.expires_at IS NULL OR p.expires_at > a_now) FOR SHARE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE account_link l SET last_used_at = a_now
        WHERE l.provider = a_provider AND l.subject = a_subject AND l.account = a_account;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE account a SET last_sign_in_at = a_now
        WHERE a.id = a_account AND a.tenant = a_tenant AND a.disabled_at IS NULL AND a.roles = a_roles;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF previous_hash <> '' OR families_most > 0 THEN
        ended := families_make_room(a_tenant, a_account, previous_hash, families_most);
    END IF;
    INSERT INTO session_family (id, tenant, account, authenticated_at, last_seen_at, expires_at, idle_ms, address, user_agent,
                                second_factor_at, second_factor)
        VALUES (a_family, a_tenant, a_account, a_authenticated_at, a_now, a_expires_at, a_idle_ms, a_address, a_user_agent,
                a_second_at, a_second);
    INSERT INTO family_federation (family, provider, subject, provider_session, acr, methods)
        VALUES (a_family, a_provider, a_subject, a_provider_session, a_acr, a_methods);
    INSERT INTO session (id, family, token_hash, host, origin, created_at, last_seen_at)
        VALUES (a_session, a_family, a_token_hash, a_host, a_origin, a_now, a_now);
    IF a_code_hash <> '' THEN
        INSERT INTO entry_code (code_hash, tenant, family, host, binding, expires_at)
            VALUES (a_code_hash, a_tenant, a_family, code_host, a_binding, code_expires_at);
    END IF;
    RETURN ended;
END $$;

-- What a sign-in through a provider brought and what became of it, for the provider's administrators; the last ones of each.
CREATE FUNCTION federation_attempt_keep(a_provider bigint, a_at timestamptz, a_trial boolean, a_refusal text, a_detail text,
                                        a_login text, a_arrived text, kept_most int)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    attempt bigint;
BEGIN
    INSERT INTO federation_attempt (provider, at, trial, refusal, detail, login, arrived)
        VALUES (a_provider, a_at, a_trial, a_refusal, a_detail, a_login, a_arrived)
        RETURNING id INTO attempt;
    IF random() < 1.0 / 16 THEN -- now and then is enough, and most sign-ins are quicker
        DELETE FROM federation_attempt f WHERE f.provider = a_provider AND f.id <=
            (SELECT o.id FROM federation_attempt o WHERE o.provider = a_provider ORDER BY o.id DESC OFFSET kept_most LIMIT 1);
    END IF;
    RETURN attempt;
END $$;

-- The name of the person at the provider, with the family that it is for. True: written.
CREATE FUNCTION family_saml_keep(a_family bigint, a_name_id text, a_name_format text, a_qualifier text, a_sp_qualifier text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO family_saml (family, name_id, name_format, qualifier, sp_qualifier)
        VALUES (a_family, a_name_id, a_name_format, a_qualifier, a_sp_qualifier);
    RETURN true;
END $$;

-- An answer to a request of ours is taken at once; one that nobody asked for may have to be looked at first.
ALTER TABLE federation_arrival ADD COLUMN solicited boolean NOT NULL DEFAULT false;

-- Keeps what a provider sent, unless the same came before: false then.
CREATE FUNCTION federation_arrive(a_provider bigint, a_key bytea, key_expires_at timestamptz, a_ticket bytea, a_tenant bigint,
                                  a_claims bytea, a_relay_state text, a_expires_at timestamptz, a_solicited boolean)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true); -- it is on the disk with the session that comes of it
    INSERT INTO federation_replay (provider, key, expires_at) VALUES (a_provider, a_key, key_expires_at)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO federation_arrival (ticket_hash, tenant, provider, claims, relay_state, expires_at, solicited)
        VALUES (a_ticket, a_tenant, a_provider, a_claims, a_relay_state, a_expires_at, a_solicited);
    RETURN true;
END $$;

-- What a sign-in through a provider must know where it ends is kept by the browser, under a keyed hash: nothing is
-- written when one begins, and what has ended is known by its state.

DROP FUNCTION federation_pend(bytea, bigint, bigint, bytea, text, bytea, text, bigint, boolean, text, timestamptz, timestamptz, int, int);
DROP TABLE federation_pending;

-- Counts what came with an answer as used, both or one (the other empty): false if any of it came before.
CREATE FUNCTION federation_spend(a_provider bigint, a_key bytea, another_key bytea, a_expires_at timestamptz)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    added int;
BEGIN
    IF a_key = '' AND another_key = '' THEN
        RETURN true;
    END IF;
    -- What comes of it (a session, a change of an account) waits for the disk; the log has one order, so that this is there
    -- with it, or neither is.
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO federation_replay (provider, key, expires_at)
        SELECT a_provider, k.key, a_expires_at FROM (VALUES (a_key), (another_key)) k(key) WHERE k.key <> ''
        ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS added = ROW_COUNT;
    RETURN added = (a_key <> '')::int + (another_key <> '')::int;
END $$;

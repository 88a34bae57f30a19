-- History is trimmed by a draw of each sign-in's own: by an identifier that all accounts share, an account whose sign-ins fall
-- between those of others in step was never trimmed.
CREATE OR REPLACE FUNCTION sign_in_visit(a_tenant bigint, a_account bigint, a_at timestamptz, a_outcome smallint, a_let_in boolean,
                              a_score int, a_signals text, a_address text, a_network text, a_country text, a_asn bigint,
                              a_located boolean, a_latitude int, a_longitude int, a_radius int, a_user_agent text,
                              a_device bytea, visits_most int, devices_most int)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO sign_in_history (tenant, account, at, outcome, score, signals, address, network, country, asn,
                                 latitude_e3, longitude_e3, radius_km, user_agent)
        VALUES (a_tenant, a_account, a_at, a_outcome, a_score, a_signals, a_address, a_network, a_country, a_asn,
                CASE WHEN a_located THEN a_latitude END, CASE WHEN a_located THEN a_longitude END,
                CASE WHEN a_located THEN a_radius END, a_user_agent);
    IF random() < 1.0 / 16 THEN -- now and then is enough, and most sign-ins are quicker
        DELETE FROM sign_in_history h WHERE h.account = a_account AND h.id <=
            (SELECT o.id FROM sign_in_history o WHERE o.account = a_account ORDER BY o.id DESC OFFSET visits_most LIMIT 1);
    END IF;
    IF NOT a_let_in THEN
        RETURN true;
    END IF;
    UPDATE account a SET risk_since = a_at WHERE a.id = a_account AND a.risk_since IS NULL;
    UPDATE sign_in_device d SET last_used_at = a_at, confirmed_until = NULL
        WHERE d.account = a_account AND d.device_hash = a_device;
    IF FOUND THEN
        RETURN true;
    END IF;
    INSERT INTO sign_in_device AS d (account, device_hash, known_since, last_used_at) VALUES (a_account, a_device, a_at, a_at)
        ON CONFLICT (account, device_hash) DO UPDATE SET last_used_at = a_at, confirmed_until = NULL;
    DELETE FROM sign_in_device d WHERE d.account = a_account AND d.device_hash IN
        (SELECT o.device_hash FROM sign_in_device o WHERE o.account = a_account
         ORDER BY o.last_used_at DESC, o.device_hash OFFSET devices_most);
    RETURN true;
END $$;

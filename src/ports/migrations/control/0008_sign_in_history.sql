-- Adaptive sign-in: what an account's sign-ins have looked like, and the devices it was used on.

-- Since when the past of the account counts: its first sign-in, or the first after a reset. NULL: none yet.
ALTER TABLE account ADD COLUMN risk_since timestamptz;

-- Every sign-in whose password was right, also those that were held back. About 200 an account; older ones and
-- those past adaptive.retention are removed. Places in thousandths of a degree.
CREATE TABLE sign_in_history (
    id bigint GENERATED ALWAYS AS IDENTITY,
    tenant bigint NOT NULL,
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    at timestamptz NOT NULL,
    outcome smallint NOT NULL CHECK (outcome BETWEEN 1 AND 4), -- enum mg_risk_outcome
    score int NOT NULL,
    signals text NOT NULL DEFAULT '',
    address text NOT NULL,
    network text NOT NULL,
    country text NOT NULL,
    asn bigint NOT NULL,
    latitude_e3 int,
    longitude_e3 int,
    radius_km int,
    user_agent text NOT NULL DEFAULT '',
    PRIMARY KEY (account, id)
);
CREATE INDEX sign_in_history_at ON sign_in_history USING brin (at);

-- The cookie of a device is 32 bytes that we made and signed; only its SHA-256 is here.
CREATE TABLE sign_in_device (
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    device_hash bytea NOT NULL CHECK (octet_length(device_hash) = 32),
    known_since timestamptz NOT NULL,
    last_used_at timestamptz NOT NULL,
    confirmed_until timestamptz, -- by mail: the next sign-in until then is not asked for more
    PRIMARY KEY (account, device_hash) -- no index on the last use: it changes at every sign-in
);

-- Wrong passwords of the last hour (keys as in `attempt`), also for names that nobody has.
CREATE TABLE sign_in_failure (
    tenant bigint NOT NULL,
    at timestamptz NOT NULL,
    account_key bytea NOT NULL,
    address text NOT NULL,
    network text NOT NULL
);
CREATE INDEX sign_in_failure_account ON sign_in_failure (tenant, account_key, at);
CREATE INDEX sign_in_failure_address ON sign_in_failure (tenant, address, at);
CREATE INDEX sign_in_failure_network ON sign_in_failure (tenant, network, at);
CREATE INDEX sign_in_failure_at ON sign_in_failure (at);

-- A sign-in that waits for its person to confirm it by mail. The ticket is made when the mail goes out.
CREATE TABLE sign_in_confirmation (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant bigint NOT NULL,
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    device_hash bytea NOT NULL CHECK (octet_length(device_hash) = 32),
    address text NOT NULL,
    country text NOT NULL,
    user_agent text NOT NULL,
    asked_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    ticket_hash bytea UNIQUE CHECK (octet_length(ticket_hash) = 32)
);
CREATE INDEX sign_in_confirmation_account ON sign_in_confirmation (account);
CREATE INDEX sign_in_confirmation_expires ON sign_in_confirmation (expires_at);

-- The device that a sign-in's second step belongs to: remembered when the step was taken.
ALTER TABLE ticket ADD COLUMN device_hash bytea;
ALTER TABLE mail ADD COLUMN signals text NOT NULL DEFAULT '',
                 ADD COLUMN confirmation bigint REFERENCES sign_in_confirmation ON DELETE CASCADE;

-- Remembers one sign-in; let in, also its device. Forgetting the last half second in a crash of the database costs
-- a person one more question at worst; waiting for the disk would make every sign-in slower.
CREATE FUNCTION sign_in_remember(a_tenant bigint, a_account bigint, a_at timestamptz, a_outcome smallint, a_let_in boolean,
                                 a_score int, a_signals text, a_address text, a_network text, a_country text, a_asn bigint,
                                 a_latitude int, a_longitude int, a_radius int, a_user_agent text, a_device bytea,
                                 visits_most int, devices_most int)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    visit bigint;
    is_new boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    INSERT INTO sign_in_history (tenant, account, at, outcome, score, signals, address, network, country, asn,
                                 latitude_e3, longitude_e3, radius_km, user_agent)
        VALUES (a_tenant, a_account, a_at, a_outcome, a_score, a_signals, a_address, a_network, a_country, a_asn,
                a_latitude, a_longitude, a_radius, a_user_agent)
        RETURNING id INTO visit;
    IF visit % 16 = 0 THEN -- now and then is enough, and most sign-ins are quicker
        DELETE FROM sign_in_history h WHERE h.account = a_account AND h.id <=
            (SELECT o.id FROM sign_in_history o WHERE o.account = a_account ORDER BY o.id DESC OFFSET visits_most LIMIT 1);
    END IF;
    IF NOT a_let_in THEN
        RETURN;
    END IF;
    UPDATE account a SET risk_since = a_at WHERE a.id = a_account AND a.risk_since IS NULL;
    INSERT INTO sign_in_device AS d (account, device_hash, known_since, last_used_at) VALUES (a_account, a_device, a_at, a_at)
        ON CONFLICT (account, device_hash) DO UPDATE SET last_used_at = a_at, confirmed_until = NULL
        RETURNING xmax = 0 INTO is_new;
    IF NOT is_new THEN
        RETURN;
    END IF;
    DELETE FROM sign_in_device d WHERE d.account = a_account AND d.device_hash IN
        (SELECT o.device_hash FROM sign_in_device o WHERE o.account = a_account
         ORDER BY o.last_used_at DESC, o.device_hash OFFSET devices_most);
END $$;

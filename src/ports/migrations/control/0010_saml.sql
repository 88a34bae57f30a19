-- SAML: our own keys at a provider, what arrived and waits for its browser, and whom a sign-out names.
--
-- Private keys are sealed by the keys process, which alone opens them (table saml_key). Tickets are here only as SHA-256.

ALTER TABLE identity_provider_setting DROP CONSTRAINT identity_provider_setting_value_check;
ALTER TABLE identity_provider_setting ADD CONSTRAINT identity_provider_setting_value_check CHECK (octet_length(value) <= 8191);

-- When the first certificate of a SAML provider ends, and when somebody was told that it soon does.
ALTER TABLE identity_provider ADD COLUMN certificate_ends_at timestamptz;
ALTER TABLE identity_provider ADD COLUMN certificate_told_at timestamptz;

CREATE TABLE identity_provider_saml (
    provider bigint PRIMARY KEY REFERENCES identity_provider ON DELETE CASCADE,
    signing_sealed bytea NOT NULL,
    signing_certificate bytea NOT NULL, -- DER
    encryption_sealed bytea NOT NULL,
    encryption_certificate bytea NOT NULL
);

-- A verified assertion between the provider's form and the page of ours that sees the browser's cookies.
CREATE TABLE federation_arrival (
    ticket_hash bytea PRIMARY KEY CHECK (octet_length(ticket_hash) = 32),
    tenant bigint NOT NULL,
    provider bigint NOT NULL REFERENCES identity_provider ON DELETE CASCADE,
    claims bytea NOT NULL CHECK (octet_length(claims) <= 24576), -- one saml_claims of catalogue/messages.def
    relay_state text NOT NULL CHECK (octet_length(relay_state) <= 1023),
    expires_at timestamptz NOT NULL
);
CREATE INDEX federation_arrival_expires ON federation_arrival (expires_at);
CREATE INDEX federation_arrival_provider ON federation_arrival (provider);

-- The name of a person there, as the provider's own sign-out gives it and ours has to.
CREATE TABLE family_saml (
    family bigint PRIMARY KEY REFERENCES family_federation ON DELETE CASCADE,
    name_id text NOT NULL,
    name_format text NOT NULL,
    qualifier text NOT NULL,
    sp_qualifier text NOT NULL
);

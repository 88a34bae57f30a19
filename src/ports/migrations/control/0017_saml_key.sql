-- Our own keys at SAML providers end, and are rolled over: the new ones stand here until the old ones are removed.
ALTER TABLE identity_provider_saml ADD COLUMN ends_at timestamptz;
ALTER TABLE identity_provider_saml ADD COLUMN told_at timestamptz; -- when somebody was told that they soon end
UPDATE identity_provider_saml s SET ends_at = p.created_at + interval '3650 days' FROM identity_provider p WHERE p.id = s.provider;
ALTER TABLE identity_provider_saml ALTER COLUMN ends_at SET NOT NULL;

CREATE TABLE identity_provider_saml_next (
    provider bigint PRIMARY KEY REFERENCES identity_provider_saml ON DELETE CASCADE,
    signing_sealed bytea NOT NULL,
    signing_certificate bytea NOT NULL, -- DER
    encryption_sealed bytea NOT NULL,
    encryption_certificate bytea NOT NULL,
    ends_at timestamptz NOT NULL,
    made_at timestamptz NOT NULL,
    signs_at timestamptz -- from when this one signs; NULL: nobody has said that the provider knows it
);

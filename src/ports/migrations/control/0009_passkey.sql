-- Passkeys and security keys (W3C Web Authentication). 0005 has their row in `factor`: credential_id, public_key (in the
-- fixed form of ports/passkey_key.h), algorithm (COSE number), sign_count. What authenticators say of themselves besides:
ALTER TABLE factor ADD COLUMN verifies_user boolean NOT NULL DEFAULT false; -- by PIN, finger or face, at set-up
ALTER TABLE factor ADD COLUMN backup_eligible boolean NOT NULL DEFAULT false; -- may be on several devices; never changes
ALTER TABLE factor ADD COLUMN backed_up boolean NOT NULL DEFAULT false;
ALTER TABLE factor ADD COLUMN transports text NOT NULL DEFAULT '' CHECK (octet_length(transports) <= 63);
ALTER TABLE factor ADD COLUMN aaguid bytea CHECK (octet_length(aaguid) = 16); -- the model, as it says
ALTER TABLE factor ADD COLUMN attestation text NOT NULL DEFAULT '';

-- Challenges that were answered, so that each is answered once, on whatever node. Those that were never answered are
-- nowhere: a challenge carries its own proof (keys, purpose `passkey-challenge`).
CREATE TABLE passkey_answered (
    challenge_hash bytea PRIMARY KEY CHECK (octet_length(challenge_hash) = 32),
    expires_at timestamptz NOT NULL
);
CREATE INDEX passkey_answered_expiry ON passkey_answered (expires_at);

-- The customer's console: invitations, and lists that stay quick with many users.

-- Who was invited when and by whom, last. An invitation is open while the account has no password.
ALTER TABLE account ADD COLUMN invited_at timestamptz,
                    ADD COLUMN invited_by text NOT NULL DEFAULT '' CHECK (octet_length(invited_by) <= 254);
UPDATE account a SET invited_at = a.created_at WHERE a.password_sealed IS NULL AND a.email <> '' AND NOT a.service
    AND NOT EXISTS (SELECT 1 FROM account_link l WHERE l.account = a.id);
CREATE INDEX account_invited ON account (tenant, login) WHERE invited_at IS NOT NULL AND password_sealed IS NULL;

-- Search by the start of a name: the operator class of starts_with(), whatever the collation.
CREATE INDEX account_by_login ON account (tenant, login text_pattern_ops);
CREATE INDEX account_by_name ON account (tenant, lower(name) text_pattern_ops);
CREATE INDEX account_by_email ON account (tenant, lower(email) text_pattern_ops);
-- The list of a tenant's sign-ins goes by id.
CREATE INDEX session_family_list ON session_family (tenant, id);
DROP INDEX session_family_tenant;

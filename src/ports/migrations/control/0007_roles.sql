-- Roles of a tenant's own, who used which permission when, who confirmed an account, and passwords that were.

ALTER TABLE account ADD COLUMN roles_changed_at timestamptz, -- NULL: as it was created
                    ADD COLUMN reviewed_at timestamptz,      -- somebody confirmed that it is still needed
                    ADD COLUMN reviewed_by text NOT NULL DEFAULT '';

-- What a tenant calls a role and what it may (keywords of catalogue/permissions.def, spaces between). The name is
-- the word in account.roles and in assertions.
CREATE TABLE tenant_role (
    tenant bigint NOT NULL REFERENCES tenant ON DELETE CASCADE,
    name text NOT NULL CHECK (name ~ '^[a-z0-9_-]{1,63}$'),
    label text NOT NULL DEFAULT '' CHECK (octet_length(label) <= 254),
    permissions text NOT NULL DEFAULT '' CHECK (octet_length(permissions) <= 2048),
    changed_at timestamptz NOT NULL,
    bit smallint NOT NULL CHECK (bit BETWEEN 8 AND 31), -- in the session table, for rules of routes (domain/role.h)
    PRIMARY KEY (tenant, name),
    UNIQUE (tenant, bit)
);

-- The last use of a permission, to the hour.
CREATE TABLE permission_use (
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    permission text NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (account, permission)
) WITH (fillfactor = 70);

-- Passwords before the present one, sealed like it (tenant / account / password / id), for tenants that forbid
-- using one again. As many as the longest history there can be.
CREATE TABLE password_past (
    account bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    replaced_at timestamptz NOT NULL,
    sealed bytea NOT NULL
);
CREATE INDEX password_past_account ON password_past (account, replaced_at DESC);

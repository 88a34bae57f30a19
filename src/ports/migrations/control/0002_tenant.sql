-- Tenants and the hosts they answer at. Tenant 0 (the operators) has no row.

CREATE TABLE tenant (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE CHECK (name ~ '^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$'),
    label text NOT NULL CHECK (label <> '' AND octet_length(label) <= 128),
    sign_in_host text NOT NULL UNIQUE,
    upstream text NOT NULL,
    created_at timestamptz NOT NULL,
    ready_at timestamptz,     -- NULL: its database is still being made
    suspended_at timestamptz,
    app_uid bigint NOT NULL DEFAULT 0,
    session_idle_ms bigint NOT NULL DEFAULT 0, -- 0: as the deployment
    session_absolute_ms bigint NOT NULL DEFAULT 0
);

-- Every host of every tenant once: a host belongs to one tenant or to none. `id` is what sessions
-- are bound to in shared memory; it is never used again.
CREATE TABLE tenant_host (
    host text PRIMARY KEY CHECK (octet_length(host) <= 255),
    id integer GENERATED ALWAYS AS IDENTITY UNIQUE,
    tenant bigint NOT NULL REFERENCES tenant ON DELETE CASCADE,
    origin smallint NOT NULL, -- enum mg_origin
    upstream text NOT NULL DEFAULT '' -- an application of its own; empty: the tenant's
);
CREATE INDEX tenant_host_tenant ON tenant_host (tenant);

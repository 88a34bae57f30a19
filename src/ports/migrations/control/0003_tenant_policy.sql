-- What a tenant has of its own beyond its hosts (catalogue/tenant_options.def): values as text, checked by
-- src/domain/tenant_policy.c before they get here and again when they are read. `route` is empty for the
-- tenant itself; a route always has all of its keywords.

CREATE TABLE tenant_setting (
    tenant bigint NOT NULL REFERENCES tenant ON DELETE CASCADE,
    route text NOT NULL DEFAULT '' CHECK (octet_length(route) <= 511),
    keyword text NOT NULL CHECK (octet_length(keyword) <= 63),
    value text NOT NULL CHECK (octet_length(value) <= 4096),
    PRIMARY KEY (tenant, route, keyword)
);

-- Limits of sessions are settings like the others now; nothing ever wrote these two.
ALTER TABLE tenant DROP COLUMN session_idle_ms, DROP COLUMN session_absolute_ms;

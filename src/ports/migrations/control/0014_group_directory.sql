-- Which groups a directory (SCIM) made or changes: as long as it can, nobody else changes their names and members.
ALTER TABLE tenant_group ADD COLUMN directory boolean NOT NULL DEFAULT false;
UPDATE tenant_group SET directory = true WHERE external_id <> '';
CREATE INDEX account_service ON account (tenant) WHERE service;

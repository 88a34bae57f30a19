-- The tenant that the drills stop (src/domain/drill.h): there is at most one, and it is no customer.
ALTER TABLE tenant ADD COLUMN drill boolean NOT NULL DEFAULT false;
CREATE UNIQUE INDEX tenant_drill ON tenant (drill) WHERE drill;

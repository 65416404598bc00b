CREATE TABLE resources (
    id UUID NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    data_location TEXT NOT NULL,
    -- Two, so that one can be replaced while the other is in use. In the clear: HMAC needs the bytes.
    primary_key BYTEA NOT NULL,
    secondary_key BYTEA NOT NULL,
    -- As recorded; never taken from a request (PROV-22).
    billing_country TEXT,
    billing_verified_ms BIGINT,
    emergency_address_ms BIGINT,
    subscription_class TEXT NOT NULL,
    suspended_ms BIGINT,
    deleted_ms BIGINT
);

CREATE UNIQUE INDEX resources_by_name ON resources (name) WHERE deleted_ms IS NULL;

-- '*' stands for every host that no other row names.
CREATE TABLE resource_hosts (
    host TEXT NOT NULL PRIMARY KEY,
    resource UUID NOT NULL REFERENCES resources (id)
);

CREATE INDEX resource_hosts_by_resource ON resource_hosts (resource);

CREATE TABLE identities (
    resource UUID NOT NULL REFERENCES resources (id),
    id UUID NOT NULL,
    created_ms BIGINT NOT NULL,
    -- Tokens issued before are revoked.
    tokens_valid_from_ms BIGINT NOT NULL,
    PRIMARY KEY (resource, id)
);

CREATE TABLE signing_keys (
    id TEXT NOT NULL PRIMARY KEY,
    algorithm TEXT NOT NULL,
    private_key BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    -- Signs no more, but what it signed is still accepted until it is deleted.
    retired_ms BIGINT
);

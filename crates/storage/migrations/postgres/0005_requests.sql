-- Long-running operations of the API.
CREATE TABLE operations (
    resource UUID NOT NULL REFERENCES resources (id),
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    -- What it is about: the id of a search or reservation, or a number.
    subject TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT,
    PRIMARY KEY (resource, id)
);

-- Answers that are given again when a request comes again.
CREATE TABLE repeatability (
    resource UUID NOT NULL REFERENCES resources (id),
    operation TEXT NOT NULL,
    request TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    status BIGINT NOT NULL,
    headers JSONB NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (resource, operation, request)
);

CREATE INDEX repeatability_expiry ON repeatability (expires_ms);

-- The SIP routing configuration of a resource, changed as a whole by compare-and-set on its version.
CREATE TABLE sip_routing (
    resource UUID NOT NULL PRIMARY KEY REFERENCES resources (id),
    version BIGINT NOT NULL,
    changed_ms BIGINT NOT NULL,
    configuration JSONB NOT NULL
);

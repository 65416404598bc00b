-- Long-running operations of the API.
CREATE TABLE operations (
    resource BLOB NOT NULL REFERENCES resources (id),
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    -- What it is about: the id of a search or reservation, or a number.
    subject TEXT NOT NULL,
    error_code TEXT,
    error_message TEXT,
    PRIMARY KEY (resource, id)
) STRICT;

-- Answers that are given again when a request comes again.
CREATE TABLE repeatability (
    resource BLOB NOT NULL REFERENCES resources (id),
    operation TEXT NOT NULL,
    request TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (resource, operation, request)
) STRICT;

CREATE INDEX repeatability_expiry ON repeatability (expires_ms);

-- The SIP routing configuration of a resource, changed as a whole by compare-and-set on its version.
CREATE TABLE sip_routing (
    resource BLOB NOT NULL PRIMARY KEY REFERENCES resources (id),
    version INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL,
    configuration TEXT NOT NULL
) STRICT;

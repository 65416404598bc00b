-- Whom calls to a number ring at. It counts for as long as this resource owns the number.
CREATE TABLE number_users (
    e164 TEXT NOT NULL PRIMARY KEY,
    resource UUID NOT NULL REFERENCES resources (id),
    -- {"users": [...], "order": "together", "ringSecs": 30, "overflow": "8:acs:..."}
    ring JSONB NOT NULL
);

-- What user access tokens are as passwords of SIP digests: the hashes of 'user:realm:token', which are as secret as
-- the token itself and die with it.
CREATE TABLE digest_secrets (
    resource UUID NOT NULL,
    id UUID NOT NULL,
    issued_s BIGINT NOT NULL,
    expires_s BIGINT NOT NULL,
    md5 BYTEA NOT NULL,
    sha256 BYTEA NOT NULL,
    PRIMARY KEY (resource, id, sha256),
    FOREIGN KEY (resource, id) REFERENCES identities (resource, id) ON DELETE CASCADE
);

CREATE INDEX digest_secrets_by_expiry ON digest_secrets (expires_s);

-- Whom calls to a number ring at. It counts for as long as this resource owns the number.
CREATE TABLE number_users (
    e164 TEXT NOT NULL PRIMARY KEY,
    resource BLOB NOT NULL REFERENCES resources (id),
    -- {"users": [...], "order": "together", "ringSecs": 30, "overflow": "8:acs:..."}
    ring TEXT NOT NULL
) STRICT;

-- What user access tokens are as passwords of SIP digests: the hashes of 'user:realm:token', which are as secret as
-- the token itself and die with it.
CREATE TABLE digest_secrets (
    resource BLOB NOT NULL,
    id BLOB NOT NULL,
    issued_s INTEGER NOT NULL,
    expires_s INTEGER NOT NULL,
    md5 BLOB NOT NULL,
    sha256 BLOB NOT NULL,
    PRIMARY KEY (resource, id, sha256),
    FOREIGN KEY (resource, id) REFERENCES identities (resource, id) ON DELETE CASCADE
) STRICT;

CREATE INDEX digest_secrets_by_expiry ON digest_secrets (expires_s);

-- One row a call, written once. Durations are milliseconds from the INVITE.
CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    started_ms INTEGER NOT NULL,
    from_user TEXT NOT NULL,
    to_user TEXT NOT NULL,
    trunk_in TEXT,
    trunk_out TEXT,
    attempts INTEGER NOT NULL,
    rang_ms INTEGER,
    answered_ms INTEGER,
    ended_ms INTEGER NOT NULL,
    sip INTEGER NOT NULL,
    q850 INTEGER NOT NULL,
    ended_by TEXT NOT NULL,
    stage TEXT NOT NULL,
    ended_trunk TEXT,
    detail TEXT NOT NULL,
    caller_media TEXT,
    callee_media TEXT
) STRICT, WITHOUT ROWID;

CREATE INDEX calls_by_time ON calls (started_ms, id);

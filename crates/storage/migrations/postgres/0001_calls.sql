-- One row a call, written once. Durations are milliseconds from the INVITE.
CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    started_ms BIGINT NOT NULL,
    from_user TEXT NOT NULL,
    to_user TEXT NOT NULL,
    trunk_in TEXT,
    trunk_out TEXT,
    attempts BIGINT NOT NULL,
    rang_ms BIGINT,
    answered_ms BIGINT,
    ended_ms BIGINT NOT NULL,
    sip BIGINT NOT NULL,
    q850 BIGINT NOT NULL,
    ended_by TEXT NOT NULL,
    stage TEXT NOT NULL,
    ended_trunk TEXT,
    detail TEXT NOT NULL,
    caller_media JSONB,
    callee_media JSONB
);

CREATE INDEX calls_by_time ON calls (started_ms, id);

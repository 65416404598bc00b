-- The outbox and every other queue. A finished job is deleted.
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue TEXT NOT NULL,
    -- Jobs of one queue and key run one after the other, in the order of their ids.
    ordering_key TEXT,
    payload TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    -- When it may be claimed; while it is claimed, when the lease ends. Null behind another job of its
    -- key, and when dead.
    due_ms INTEGER,
    not_before_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    -- Counts claims, so that a lease that was lost cannot be used.
    claims INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    attempts_max INTEGER NOT NULL,
    dead_ms INTEGER,
    last_error TEXT
) STRICT;

CREATE INDEX jobs_due ON jobs (queue, due_ms, id) WHERE due_ms IS NOT NULL;
CREATE INDEX jobs_by_key ON jobs (queue, ordering_key, id) WHERE ordering_key IS NOT NULL AND dead_ms IS NULL;
CREATE INDEX jobs_dead ON jobs (queue, id) WHERE dead_ms IS NOT NULL;

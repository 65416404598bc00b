-- The outbox and every other queue. A finished job is deleted.
CREATE TABLE jobs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue TEXT NOT NULL,
    -- Jobs of one queue and key run one after the other, in the order of their ids.
    ordering_key TEXT,
    payload JSONB NOT NULL,
    created_ms BIGINT NOT NULL,
    -- When it may be claimed; while it is claimed, when the lease ends. Null behind another job of its
    -- key, and when dead.
    due_ms BIGINT,
    not_before_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    -- Counts claims, so that a lease that was lost cannot be used.
    claims BIGINT NOT NULL DEFAULT 0,
    attempts BIGINT NOT NULL DEFAULT 0,
    attempts_max BIGINT NOT NULL,
    dead_ms BIGINT,
    last_error TEXT
);

CREATE INDEX jobs_due ON jobs (queue, due_ms, id) WHERE due_ms IS NOT NULL;
CREATE INDEX jobs_by_key ON jobs (queue, ordering_key, id) WHERE ordering_key IS NOT NULL AND dead_ms IS NULL;
CREATE INDEX jobs_dead ON jobs (queue, id) WHERE dead_ms IS NOT NULL;

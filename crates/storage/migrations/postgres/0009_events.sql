-- Who is told of a resource's events. What they still have to be told are jobs of the subscription's queue.
CREATE TABLE event_subscriptions (
    id UUID NOT NULL PRIMARY KEY,
    resource UUID NOT NULL REFERENCES resources (id),
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    -- An array of names of kinds.
    kinds JSONB NOT NULL,
    event_schema TEXT NOT NULL,
    auth TEXT NOT NULL,
    -- In the clear: HMAC and bearer need the bytes.
    secret BYTEA,
    -- The name of its jobs' queue.
    queue TEXT NOT NULL,
    -- Its endpoint proves by this that it wants the events.
    validation_code UUID NOT NULL,
    state TEXT NOT NULL,
    state_ms BIGINT NOT NULL,
    -- Why it failed.
    detail TEXT,
    created_ms BIGINT NOT NULL,
    -- Since when it has as many undelivered events as it may; it gets no more until it has caught up.
    full_ms BIGINT
);

CREATE UNIQUE INDEX event_subscriptions_by_name ON event_subscriptions (resource, name);

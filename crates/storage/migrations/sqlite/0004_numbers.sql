-- The inventory: exactly one row a number (A.6).
CREATE TABLE numbers (
    e164 TEXT NOT NULL PRIMARY KEY,
    trunk TEXT NOT NULL,
    country TEXT NOT NULL,
    number_type TEXT NOT NULL,
    area_code TEXT NOT NULL,
    region TEXT NOT NULL,
    city TEXT NOT NULL,
    -- What the carrier's number can do: 1 receives, 2 sends.
    calling_offered INTEGER NOT NULL,
    sms_offered INTEGER NOT NULL,
    monthly_cost_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    state TEXT NOT NULL,
    -- Every transition is a compare-and-set on (state, owner, version).
    owner BLOB REFERENCES resources (id),
    version INTEGER NOT NULL,
    reservation BLOB,
    -- From when on anyone may reserve it: 0 when available, the end of the hold when reserved, else null.
    free_from_ms INTEGER,
    -- When it leaves releasing or quarantine.
    rests_until_ms INTEGER,
    changed_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX numbers_to_sell ON numbers (country, number_type, area_code, e164) WHERE free_from_ms IS NOT NULL;
CREATE INDEX numbers_resting ON numbers (rests_until_ms) WHERE rests_until_ms IS NOT NULL;
CREATE INDEX numbers_held ON numbers (free_from_ms) WHERE state = 'reserved';
CREATE INDEX numbers_by_reservation ON numbers (reservation) WHERE reservation IS NOT NULL;

-- Who owned a number from when to when, and under which conditions.
CREATE TABLE assignments (
    id BLOB NOT NULL PRIMARY KEY,
    e164 TEXT NOT NULL REFERENCES numbers (e164),
    resource BLOB NOT NULL REFERENCES resources (id),
    reservation BLOB,
    assignment_type TEXT NOT NULL,
    calling TEXT NOT NULL,
    sms TEXT NOT NULL,
    monthly_cost_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    renews_ms INTEGER NOT NULL,
    ended_ms INTEGER
) STRICT;

-- INV-1: one owner at most.
CREATE UNIQUE INDEX assignments_live ON assignments (e164) WHERE ended_ms IS NULL;
CREATE INDEX assignments_by_number ON assignments (e164, started_ms);
CREATE INDEX assignments_by_reservation ON assignments (reservation) WHERE reservation IS NOT NULL;
CREATE INDEX assignments_by_resource ON assignments (resource, e164) WHERE ended_ms IS NULL;
CREATE INDEX assignments_to_renew ON assignments (renews_ms) WHERE ended_ms IS NULL;

-- Searches and reservations: numbers held for a resource for a while.
CREATE TABLE reservations (
    id BLOB NOT NULL PRIMARY KEY,
    resource BLOB NOT NULL REFERENCES resources (id),
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    detail TEXT
) STRICT;

CREATE INDEX reservations_by_resource ON reservations (resource, id);
CREATE INDEX reservations_by_age ON reservations (created_ms);

-- The numbers of a reservation and what they would be bought under. Whether they are still held is said by
-- the inventory alone.
CREATE TABLE reservation_numbers (
    reservation BLOB NOT NULL REFERENCES reservations (id) ON DELETE CASCADE,
    e164 TEXT NOT NULL,
    assignment_type TEXT NOT NULL,
    calling TEXT NOT NULL,
    sms TEXT NOT NULL,
    monthly_cost_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    PRIMARY KEY (reservation, e164)
) STRICT;

-- Charges above zero, credits below.
CREATE TABLE ledger (
    id INTEGER PRIMARY KEY,
    resource BLOB NOT NULL REFERENCES resources (id),
    at_ms INTEGER NOT NULL,
    month TEXT NOT NULL,
    kind TEXT NOT NULL,
    e164 TEXT,
    assignment BLOB REFERENCES assignments (id),
    amount_minor INTEGER NOT NULL,
    currency TEXT NOT NULL,
    note TEXT NOT NULL
) STRICT;

CREATE INDEX ledger_by_month ON ledger (resource, month, id);
-- INV-2: one charge for each month of an assignment, whatever is repeated.
CREATE UNIQUE INDEX ledger_once ON ledger (assignment, kind, month) WHERE kind IN ('purchase', 'renewal', 'release');

CREATE TABLE audit (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    e164 TEXT,
    resource BLOB,
    from_state TEXT,
    to_state TEXT,
    version INTEGER,
    detail TEXT
) STRICT;

CREATE INDEX audit_by_number ON audit (e164, id) WHERE e164 IS NOT NULL;
CREATE INDEX audit_by_resource ON audit (resource, id) WHERE resource IS NOT NULL;

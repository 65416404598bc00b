-- Outgoing texts. A row is its own queue entry: there is no job beside it.
CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    resource BLOB NOT NULL,
    -- 'api', or 'account:' and the name of a customer's SMPP account.
    source TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    -- The text; the octets in hexadecimal where there is a coding.
    body TEXT NOT NULL,
    -- data_coding of octets, and 256 more where they begin with a user data header. Null for a text.
    coding INTEGER,
    purpose TEXT NOT NULL,
    wants_report INTEGER NOT NULL,
    tag TEXT,
    -- What the client named its wish, for a day: the same comes once (SMS-05).
    request TEXT,
    fingerprint BLOB,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    report_by_ms INTEGER NOT NULL,

    -- queued, sending (under lease), sent (a carrier has all of it), quarantined, ended.
    state TEXT NOT NULL,
    -- What it waits for while queued: '' for its turn, else the name that the engine gave to what is not ready.
    lane TEXT NOT NULL,
    -- While queued, when it may be claimed; while sending, when the lease ends; else null.
    due_ms INTEGER,
    -- When its validity, or the time for a report, is over; null when it has ended.
    deadline_ms INTEGER,
    -- Counts claims, so that a lease that was lost cannot be used.
    claims INTEGER NOT NULL DEFAULT 0,
    node TEXT,

    trunk TEXT,
    segments INTEGER,
    refusals INTEGER NOT NULL DEFAULT 0,
    in_doubt INTEGER NOT NULL DEFAULT 0,
    possible_duplicate INTEGER NOT NULL DEFAULT 0,
    -- The trunk that refused it last, which others come before.
    avoided TEXT,
    -- delivered, failed, expired, unknown: exactly one, once ended (SMS-02).
    outcome TEXT,
    code INTEGER,
    detail TEXT,
    ended_ms INTEGER
) STRICT;

-- A claim reads one lane of one tenant from its front, however many rows there are.
CREATE INDEX messages_queue ON messages (state, resource, lane, due_ms, seq) WHERE due_ms IS NOT NULL;
CREATE INDEX messages_deadlines ON messages (deadline_ms) WHERE deadline_ms IS NOT NULL;
CREATE UNIQUE INDEX messages_requests ON messages (resource, request, recipient, sender) WHERE request IS NOT NULL;
CREATE INDEX messages_requests_by_age ON messages (created_ms) WHERE request IS NOT NULL;
CREATE INDEX messages_by_recipient ON messages (recipient, sender, seq);

-- The segments that a carrier took, and what it said of them since.
CREATE TABLE message_segments (
    message INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    -- Of how many, marked as parts of one message by what.
    total INTEGER NOT NULL,
    reference INTEGER NOT NULL,
    trunk TEXT NOT NULL,
    -- As receipts are compared: upper case, no leading zeros; and what stands behind a prefix.
    carrier_id TEXT,
    bare_id TEXT,
    -- message_state of SMPP; 0 before the first receipt.
    state INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    PRIMARY KEY (message, segment)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_segments_by_carrier_id ON message_segments (trunk, carrier_id) WHERE carrier_id IS NOT NULL;
CREATE INDEX message_segments_by_bare_id ON message_segments (trunk, bare_id) WHERE bare_id IS NOT NULL;

-- Receipts that speak of no segment that is known, for 72 hours.
CREATE TABLE unmatched_receipts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    trunk TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    source TEXT NOT NULL,
    destination TEXT NOT NULL,
    carrier_id TEXT,
    receipt TEXT NOT NULL
) STRICT;

CREATE INDEX unmatched_receipts_by_age ON unmatched_receipts (received_ms);

CREATE TABLE inbound_texts (
    seq INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    -- Null for a number that nobody owns.
    resource BLOB,
    trunk TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    body TEXT NOT NULL,
    received_ms INTEGER NOT NULL,
    segments INTEGER NOT NULL,
    -- Whether parts of it never came.
    partial INTEGER NOT NULL
) STRICT;

CREATE INDEX inbound_texts_by_sender ON inbound_texts (sender, recipient, seq);
CREATE INDEX inbound_texts_by_age ON inbound_texts (received_ms);

-- Parts of longer texts, kept until the text is whole or given up.
CREATE TABLE inbound_parts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    trunk TEXT NOT NULL,
    sender TEXT NOT NULL,
    recipient TEXT NOT NULL,
    reference INTEGER NOT NULL,
    total INTEGER NOT NULL,
    part INTEGER NOT NULL,
    octets BLOB NOT NULL,
    -- How its octets are to be read.
    decoding TEXT NOT NULL,
    received_ms INTEGER NOT NULL
) STRICT;

-- What a 10DLC brand has sent today at carriers that count by day.
CREATE TABLE brand_days (
    brand TEXT NOT NULL,
    day TEXT NOT NULL,
    segments INTEGER NOT NULL,
    PRIMARY KEY (brand, day)
) STRICT;

-- Who wants no more texts from whom. Which rows count for a message is for the configured scope to say.
CREATE TABLE opt_outs (
    recipient TEXT NOT NULL,
    resource BLOB NOT NULL REFERENCES resources (id),
    sender TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    -- keyword, api or operator.
    origin TEXT NOT NULL,
    PRIMARY KEY (recipient, resource, sender)
) STRICT, WITHOUT ROWID;

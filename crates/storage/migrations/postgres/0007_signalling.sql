-- What SIP said of a call: where it came from, the Call-IDs of both legs, the gateway, and its own final status.
ALTER TABLE calls ADD COLUMN signalling JSONB;

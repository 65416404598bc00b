//! SQLite and PostgreSQL storage: call records, outbox and job queue.

//! Redaction beside a search that reads everything at once.

"""exo's wire format and habits: the tolerant reader, the HTTP client, the feed that keeps one fresh state."""

"""Status page, metrics and webhook receiver."""

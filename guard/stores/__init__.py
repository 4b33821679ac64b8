"""Counters and ledger: embedded and Redis."""

"""Back ends that mirror the ledger."""

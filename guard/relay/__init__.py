"""Who may relay: pure decisions."""

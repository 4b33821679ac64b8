"""When an address has done enough: pure decisions."""

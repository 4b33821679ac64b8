"""What others know of an address: score, reports, owner. Asked beside the ban path, never on it."""

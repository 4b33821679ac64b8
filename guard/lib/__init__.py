"""Small tools that know nothing of Guard: networks, durations, the clock."""

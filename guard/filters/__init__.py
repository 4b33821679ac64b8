"""What a record or a line means: pure decisions."""

"""Who is told of a ban."""

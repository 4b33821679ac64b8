"""Who is never blocked, and why."""

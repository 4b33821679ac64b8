"""Accepted mail: spool, reports, queue and delivery."""

"""The ESMTP listener."""

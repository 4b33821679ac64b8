"""From what was heard to what is claimed: `pipeline` counts, `judge` says whether that is a ban."""

from guard.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]

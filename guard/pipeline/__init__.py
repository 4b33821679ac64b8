"""From what was heard to what is claimed: `routing` says what counts, `pipeline` has it counted,
`judge` says whether a full window is a ban, `claiming` makes the claims.
"""

from guard.pipeline.pipeline import Pipeline

__all__ = ["Pipeline"]

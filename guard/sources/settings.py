"""Settings of each `[[source]]`, one class per type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from guard.lib.fields import FilePath


@dataclass(frozen=True, kw_only=True)
class KumomtaLogSettings:
    """A KumoMTA log directory, or one file of JSON lines."""

    type: Literal["kumomta-log"]
    path: FilePath


SourceSettings = KumomtaLogSettings

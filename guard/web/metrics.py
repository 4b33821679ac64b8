"""The status of the daemon as Prometheus metrics: every number that it tells, under its own name.

    {"bans": 3}                                     guard_bans 3
    {"kernel": {"present": 3}}                      guard_kernel_present 3
    {"source": [{"name": "listener", "heard": 5}]}  guard_source_heard{name="listener"} 5

So a part that tells a new number in `guard status` has a metric, without a word here. Text is not
a metric, and nothing is that a peer wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from prometheus_client.core import CollectorRegistry, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Sample(NamedTuple):
    """One number, with the name of the row that it stands in."""

    metric: str
    row: str
    value: float


def samples(status: Mapping[str, Any]) -> Iterator[Sample]:
    """Every number in `status`; true is 1."""
    for title, value in status.items():
        if isinstance(value, list):
            for row in value:
                yield from _numbers(f"guard_{title}", row, str(row.get("name", "")))
        elif isinstance(value, Mapping):
            yield from _numbers(f"guard_{title}", value, "")
        else:
            yield from _numbers("guard", {title: value}, "")


def _numbers(prefix: str, row: Mapping[str, Any], name: str) -> Iterator[Sample]:
    for column, value in row.items():
        if isinstance(value, bool | int | float):
            metric = re.sub(r"[^a-z0-9]+", "_", f"{prefix}_{column}".lower()).strip("_")
            yield Sample(metric, name, float(value))


class _Told(Collector):
    def __init__(self, status: Mapping[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily]:
        families: dict[str, GaugeMetricFamily] = {}
        for metric, row, value in samples(self._status):
            labels = ["name"] if row else []
            family = families.setdefault(
                metric, GaugeMetricFamily(metric, "As `guard status` tells it.", labels=labels)
            )
            family.add_metric([row] if row else [], value)
        yield from families.values()


def exposition(status: Mapping[str, Any]) -> bytes:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(status))
    return generate_latest(registry)

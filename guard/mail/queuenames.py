"""A Sink in front of another: names the queue that an accepted message goes to, as delivery does.

The listener knows the recipient's domain only; KumoMTA's records name a queue with the routing
domain that the operator gave it, in Receptions as in what follows them.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from guard.mail.policy import Policies
from guard.mail.settings import QueueSettings
from guard.records import Record
from guard.roles import Sink


class QueueNames:
    """Hands on to `sink`; `queues` are `[queue]`."""

    def __init__(self, sink: Sink, queues: Mapping[str, QueueSettings]) -> None:
        self._sink, self._policies = sink, Policies(queues)

    def reconfigure(self, queues: Mapping[str, QueueSettings]) -> None:
        """Other names from now on."""
        self._policies = Policies(queues)

    def put(self, record: Record) -> None:
        """Takes `record`. Never raises."""
        if record.queue:  # a Rejection has none
            name = self._policies.queue_name(record.queue)
            if name != record.queue:
                record = msgspec.structs.replace(record, queue=name)
        self._sink.put(record)

"""The record log: every record of the listener and of delivery, one line of JSON each."""

from __future__ import annotations

from guard.lib.linefile import LineFile
from guard.records import Record, encode


class RecordLog(LineFile):
    """A Sink that appends records to `path`. Used by one thread."""

    def put(self, record: Record) -> None:
        """Appends `record`. Never raises; a record that has no JSON form is counted as dropped."""
        try:
            line = encode(record)
        except ValueError as error:
            self.drop(1, str(error))
            return
        self.append(line + b"\n")

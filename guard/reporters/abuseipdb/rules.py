"""What all who share a key and a store have to keep: 15 minutes an address, so many calls a day."""

from __future__ import annotations

from guard.reporters.abuseipdb.settings import AbuseIpdbReportSettings
from guard.roles import Quotas

REPORT, BULK, CLEAR = "abuseipdb.report", "abuseipdb.bulk-report", "abuseipdb.clear-address"
AGAIN = 15 * 60 + 5.0  # their clock is not ours
# The error of what was being told when a process ended: nobody knows whether it arrived. It is told
# again at once, while AbuseIPDB still recognises it, and not a second time in 15 minutes.
UNDER_WAY = "was under way when Guard ended"
FILES = 3600.0  # seconds between two files of reports


class Rules:
    """The rules over `quotas`. Raises Unavailable: then nothing is told until they are known."""

    def __init__(self, settings: AbuseIpdbReportSettings, quotas: Quotas) -> None:
        self._quotas = quotas
        self._limits = {
            REPORT: settings.per_day,
            BULK: settings.bulk_per_day,
            CLEAR: settings.clear_per_day,
        }

    def may_tell(self, address: str, error: str, now: float) -> bool:
        """Whether nobody reported `address` within 15 minutes; if so it counts as reported now.

        `error` is what the last attempt met.
        """
        if error == UNDER_WAY:
            self.not_told(address)
        return self._quotas.once(REPORT, address, AGAIN, now)

    def not_told(self, address: str) -> None:
        """It was not reported after all."""
        self._quotas.undo(REPORT, address)

    def spend(self, endpoint: str, now: float) -> bool:
        """Whether there is one more call today; if so it is spent."""
        return self._quotas.take(endpoint, self._limits[endpoint], 1, now) == 1

    def left(self, endpoint: str, now: float) -> int:
        """How many calls there are left today."""
        return self._quotas.left(endpoint, self._limits[endpoint], now)

    def told(self, endpoint: str, left: int | None, now: float) -> None:
        """AbuseIPDB says how many calls are left, None when it does not."""
        if left is not None:
            self._quotas.told(endpoint, self._limits[endpoint], left, now)

    def may_send_file(self, now: float) -> bool:
        """Whether a file may go now; if so one is spent."""
        if not self._quotas.once(BULK, "file", FILES, now):
            return False
        if self.spend(BULK, now):
            return True
        self.no_file()
        return False

    def no_file(self) -> None:
        """The file did not go after all."""
        self._quotas.undo(BULK, "file")

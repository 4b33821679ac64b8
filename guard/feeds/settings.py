"""Settings of each `[[feed]]`, one class per type."""

from __future__ import annotations

from guard.feeds.abuseipdb import AbuseIpdbSettings
from guard.feeds.dshield import DshieldSettings
from guard.feeds.listfiles import (
    BlocklistDeSettings,
    FireholSettings,
    IpsumSettings,
    MxrouteSettings,
    ScannersSettings,
)
from guard.feeds.plain import PlainSettings
from guard.feeds.spamhaus import SpamhausAsnDropSettings, SpamhausDropSettings

FeedSettings = (
    SpamhausDropSettings
    | SpamhausAsnDropSettings
    | AbuseIpdbSettings
    | MxrouteSettings
    | BlocklistDeSettings
    | DshieldSettings
    | FireholSettings
    | IpsumSettings
    | ScannersSettings
    | PlainSettings
)

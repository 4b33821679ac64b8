"""The status page: what `guard status` and `guard bans` tell, as HTML without a script.

Every value is escaped; a reason or a source's name is text like any other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from guard.lib.durations import format_duration

MOST = 500
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 70em; padding: 0 1em;
       color: #1d2430; background: #fff; }
h1 { font-size: 1.4em; } h2 { font-size: 1.1em; margin: 2em 0 .4em; }
table { border-collapse: collapse; width: 100%; } th { text-align: left; font-weight: 600; }
th, td { padding: .25em 1em .25em 0; border-bottom: 1px solid #e3e7ee; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
@media (prefers-color-scheme: dark) {
  body { color: #dfe5ee; background: #14181f; } th, td { border-color: #2b323d; } }
"""


def page(status: Mapping[str, Any], bans: Sequence[Mapping[str, Any]], now: float) -> str:
    """The whole page. It loads itself anew every ten seconds."""
    plain = [{"": title, "now": v} for title, v in status.items() if not isinstance(v, list)]
    parts = [_table("", plain)]
    parts += [_table(title, rows) for title, rows in status.items() if isinstance(rows, list)]
    parts.append(_table(_count(len(bans)), [_ban(row, now) for row in bans[:MOST]]))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Guard</title>'
        '<meta http-equiv="refresh" content="10">'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style></head><body><h1>Guard</h1>{''.join(parts)}</body></html>"
    )


def _count(number: int) -> str:
    return f"bans: the first {MOST} of {number}" if number > MOST else f"bans: {number}"


def _ban(row: Mapping[str, Any], now: float) -> dict[str, Any]:
    until = row["until"]
    return {
        "network": row["network"],
        "by": row["source"],
        "since": format_duration(now - row["since"]) + " ago",
        "ends in": "never" if until is None else format_duration(until - now),
        "strikes": row["strikes"],
        "reason": row["reason"],
    }


def _table(title: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """A heading and a table with a column for each thing that any row tells."""
    columns = list(dict.fromkeys(key for row in rows for key in row if row[key] not in (None, "")))
    heading = f"<h2>{escape(title)}</h2>" if title else ""
    if not columns:
        return heading if title.startswith("bans") else ""
    head = "".join(f"<th>{escape(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(_cell(row.get(column)) for column in columns) + "</tr>" for row in rows
    )
    return f"{heading}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        value = ", ".join(f"{name.replace('_', ' ')} {item}" for name, item in value.items())
    kind = ' class="number"' if isinstance(value, int | float) else ""
    return f"<td{kind}>{escape('' if value is None else str(value))}</td>"

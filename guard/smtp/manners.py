"""What a mail server does not do, where the operator minds: a stricter reading than KumoMTA's.

Only strangers are looked at. Each is a setting that is off by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from guard.events import Kind
from guard.smtp import replies
from guard.smtp.commands import Command

if TYPE_CHECKING:
    from guard.smtp.session import Dialogue


def impolite(dialogue: Dialogue, command: Command, line: str) -> bool:
    """Looks at an EHLO or HELO; whether it was answered with a refusal."""
    settings, listener = dialogue.listener.settings, dialogue.listener
    if settings.refuse_own_name and command.argument in _own_names(dialogue):
        dialogue.refuse(replies.OWN_NAME, line)
        return True
    # RFC 2920, section 3.1: EHLO is the last of its group, and what may follow is in its reply.
    if settings.forbid_early_pipelining and not dialogue.name and dialogue.has_more():
        dialogue.dismiss(listener.pipelining, line, Kind.EARLY_TALKER)
        return True
    return False


def _own_names(dialogue: Dialogue) -> tuple[str, str]:
    local = dialogue.peer.local.rpartition(":")[0].strip("[]")
    literal = f"[IPv6:{local}]" if ":" in local else f"[{local}]"
    return dialogue.listener.settings.hostname.lower(), literal

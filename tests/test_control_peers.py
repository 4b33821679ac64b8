"""Who is answered at the control socket: the kernel names the peer."""

import asyncio
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support import need

from guard.control import serve

GROUP, USER = 64321, 64322
ASK = """
import os, socket, sys
path, group, user = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setgroups([group] if group else [])
os.setgid(user)
os.setuid(user)
with socket.socket(socket.AF_UNIX) as connection:
    connection.connect(path)
    connection.sendall(b'{"do": "bans"}\\n')
    print(connection.recv(4096).decode())
"""


async def echo(name, arguments):
    """Answers with what was asked."""
    return name


def answer(path, group):
    """What somebody in `group` is told, at a socket that anybody may open."""

    async def main():
        async with await serve(path, echo):
            path.chmod(0o666)
            os.chown(path, 0, GROUP)
            words = [sys.executable, "-c", ASK, str(path), str(group), str(USER)]
            asking = await asyncio.create_subprocess_exec(*words, stdout=subprocess.PIPE)
            return (await asking.communicate())[0].decode()

    return asyncio.run(main())


@pytest.mark.root
@pytest.mark.parametrize(("group", "told"), [(0, '"code": 77'), (GROUP, '"result": "bans"')])
def test_who_is_not_in_the_group_is_refused_whatever_the_mode(group, told):
    """A mode that was widened lets nobody in; a group that was changed does."""
    need(os.geteuid() == 0, "root")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        assert told in answer(Path(folder) / "guard.sock", group)

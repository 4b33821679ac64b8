"""An SSH session in use is found in the kernel's tables."""

import os
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.lib.networks import parse_address
from guard.protect.ssh import peers, read

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0202000A:0016 4D0004B9:D431 01 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0202000A:0016 4E0004B9:D431 06 00000000:00000000 00:00000000 00000000     0        0 2 1
   2: 0202000A:0019 4F0004B9:D431 01 00000000:00000000 00:00000000 00000000     0        0 3 1
   3: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4 1
"""
TABLE6 = """\
   0: 000003200000000000000000010000AA:0016 0000032A000000000000000007000000:D4 01 0 0 0 0 0 0 0
   1: 0000000000000000FFFF00000100007F:0016 0000000000000000FFFF0000500004B9:D4 01 0 0 0 0 0 0 0
"""


def test_established_peers_of_the_port_are_found():
    """Closing, other ports and listeners are not; mapped addresses are IPv4."""
    assert list(peers(TABLE.splitlines(), [22])) == [parse_address("185.4.0.77")]
    assert list(peers(TABLE6.splitlines(), [22])) == [
        parse_address("2a03::7"),
        parse_address("185.4.0.80"),
    ]
    assert list(peers(TABLE.splitlines(), [2222])) == []
    assert len(list(peers(TABLE.splitlines(), [22, 25]))) == 2


@given(st.lists(st.text(max_size=60)))
@settings(max_examples=200, deadline=None)
def test_any_table_is_read(lines):
    """Lines of another kernel are passed over."""
    assert all(peer.is_address for peer in peers(lines, [22]))


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="reads /proc")
def test_a_real_connection_is_seen_while_it_lasts(tmp_path):
    """Against this kernel: protected while open, not after; a missing table is nobody."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        here = parse_address("127.0.0.1")
        assert read([port]) == []
        with socket.create_connection(("127.0.0.1", port)) as client:
            peer, _ = server.accept()
            assert read([port]) == [(here, "has an SSH session open")]
            client.shutdown(socket.SHUT_WR)
            peer.close()
        assert read([port]) == []
    assert read([port], [tmp_path / "absent"]) == []

"""Own addresses, gateways and name servers are found and followed."""

import os
import subprocess
import sys

import pytest

from guard.lib.networks import parse_address
from guard.protect.own import Here, decide, name_servers, read


def test_the_decision_takes_what_is_an_address():
    """Zones are cut, what is no address is passed over, the first reason stays."""
    here = Here(["192.0.2.1", "fe80::1%eth0", "", "x"], ["192.0.2.1", "192.0.2.254"], ["::1"])
    assert decide(here) == [
        (parse_address("192.0.2.1"), "own address"),
        (parse_address("fe80::1"), "own address"),
        (parse_address("192.0.2.254"), "gateway"),
        (parse_address("::1"), "name server"),
    ]


def test_resolv_conf_is_read_as_its_manual_says():
    """Only `nameserver` lines count; comments, options and half lines do not."""
    text = "# nameserver 1.1.1.1\nsearch a\nnameserver 9.9.9.9\n nameserver\t::1 x\nnameserver\n"
    assert name_servers(text) == ["9.9.9.9", "::1"]


def test_this_machine_is_read(tmp_path):
    """Loopback is an own address everywhere; a missing resolv.conf is none."""
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 9.9.9.9\n")
    found = dict(decide(read((conf, tmp_path / "absent"))))
    assert found[parse_address("127.0.0.1")] == "own address"
    assert found[parse_address("9.9.9.9")] == "name server"


@pytest.mark.root
def test_null_routes_are_passed_over():
    """A hundred thousand of them, asked for each five seconds, would keep a processor busy."""
    name = f"guardnull{os.getpid()}"
    code = (
        "from guard.protect import own\n"
        "read, count = own._hops, []\n"
        "own._hops = lambda route: count.append(route) or read(route)\n"
        "print(*(n for n, w in own.decide(own.read(())) if w == 'gateway'), len(count) < 20)"
    )
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        lines = ["link set lo up", "route add 203.0.113.0/24 via 127.0.0.9 table 77"]
        lines += [f"route add blackhole 198.51.100.{n}/32 table 5376" for n in range(200)]
        lines += [f"route add blackhole 2001:db8::{n:x}/128 table 5376" for n in range(200)]
        batch = ["ip", "-n", name, "-batch", "-"]
        subprocess.run(batch, check=True, input="\n".join(lines), text=True)
        run = ["ip", "netns", "exec", name, sys.executable, "-c", code]
        done = subprocess.run(run, check=True, capture_output=True, text=True)
        assert done.stdout.split() == ["127.0.0.9", "True"]
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.mark.root
def test_changes_of_interfaces_are_seen():
    """In a namespace: addresses and gateways come and go, multipath and via routes included."""
    name = f"guardown{os.getpid()}"

    def ip(*words):
        subprocess.run(["ip", "-n", name, *words], check=True)

    def seen():
        code = "from guard.protect.own import *; print(*(f'{n}={w}' for n, w in decide(read(()))))"
        run = ["ip", "netns", "exec", name, sys.executable, "-c", code]
        return set(subprocess.run(run, check=True, capture_output=True, text=True).stdout.split())

    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        ip("link", "set", "lo", "up")
        ip("link", "add", "d0", "type", "veth", "peer", "name", "d1")
        ip("addr", "add", "203.0.113.7/24", "dev", "d0")
        ip("addr", "add", "2001:db8:7::7/64", "dev", "d0", "nodad")
        ip("link", "set", "d0", "up")
        ip("link", "set", "d1", "up")
        assert {"203.0.113.7=own", "2001:db8:7::7=own"} <= seen()
        ip("route", "add", "default", "via", "203.0.113.1")
        hops = ["nexthop", "via", "203.0.113.2", "nexthop", "via", "203.0.113.3"]
        ip("route", "add", "198.51.100.0/24", *hops)
        ip("route", "add", "192.0.2.0/24", "via", "inet6", "2001:db8:7::1")
        gateways = {
            f"{a}=gateway" for a in ("203.0.113.1", "203.0.113.2", "203.0.113.3", "2001:db8:7::1")
        }
        assert gateways <= seen()
        ip("addr", "del", "203.0.113.7/24", "dev", "d0")
        assert not {"203.0.113.7=own", "203.0.113.1=gateway"} & seen()
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)

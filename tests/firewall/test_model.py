"""Whatever is asked in whatever order, each kernel ends up with what the dry run remembers."""

import time
from contextlib import closing

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from netns import World, inside

from guard.events import Block
from guard.firewall.blackhole import Blackhole
from guard.firewall.dryrun import DryRun
from guard.firewall.iptables import IPTables
from guard.firewall.nftables import NFTables
from guard.lib.networks import Network
from guard.lib.networks import parse_network as net

pytestmark = pytest.mark.root
BACKENDS = {
    "nftables": lambda: NFTables((25,)),
    "iptables": lambda: IPTables((25,)),
    "blackhole": Blackhole,
}
_POINTS = [net("10.0.0.77"), net("10.0.255.255"), net("255.255.255.255"), net("2001:db8::77")]
_LENGTHS = {4: (0, 8, 15, 16, 23, 24, 25, 31, 32), 6: (0, 32, 47, 48, 63, 64, 65, 127, 128)}


@st.composite
def _network(draw) -> Network:
    point = draw(st.sampled_from(_POINTS))
    return point.supernet(draw(st.sampled_from(_LENGTHS[point.version])))


# Seconds from now: over already, a while, long, beyond what ipset counts, for ever.
_LEFT = st.sampled_from([-5.0, 500.0, 5000.0, 2_000_000.0, None])
_BLOCKS = st.lists(st.tuples(_network(), _LEFT), max_size=5)
_DISTINCT = st.lists(st.tuples(_network(), _LEFT), max_size=5, unique_by=lambda block: block[0])
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("apply"), _BLOCKS, st.lists(_network(), max_size=3)),
        st.tuples(st.just("replace"), _DISTINCT, st.just([])),
    ),
    max_size=6,
)


@pytest.mark.parametrize("backend", BACKENDS)
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=_STEPS)
def test_the_kernel_and_the_model_agree(world: World, backend: str, steps):
    """The same networks, each until the same end, after every step."""
    with inside(world.server), closing(BACKENDS[backend]()) as kernel:
        model = DryRun()
        kernel.open()
        kernel.replace([], 1.0)
        for what, blocks, release in steps:
            now = time.time()
            wanted = [Block(n, None if left is None else now + left) for n, left in blocks]
            for firewall in (kernel, model):
                if what == "apply":
                    firewall.apply(wanted, release, now)
                else:
                    firewall.replace(iter(wanted), now)
            found, expected = kernel.blocked(now), model.blocked(now)
            assert found.keys() == expected.keys()
            for network, until in expected.items():
                assert found[network] == (until if until is None else pytest.approx(until, abs=3))

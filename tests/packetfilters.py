"""The packet filters that tests try, as an operator has them for the port of mail."""

from collections.abc import Callable

from guard.firewall.iptables import IPTables
from guard.firewall.nftables import NFTables
from guard.firewall.xtables import Legacy, Nft
from guard.roles import Firewall

PACKET_FILTERS: dict[str, Callable[[], Firewall]] = {
    "nftables": lambda: NFTables((25,)),
    "iptables-legacy": lambda: IPTables((25,), rules=Legacy()),
    "iptables-nft": lambda: IPTables((25,), rules=Nft()),
}

"""Hosts that may send anywhere, each with the sender domain that is theirs.

In guard.toml, below [[listener]]:

    policy = "policy/sending_hosts.py"
"""

from guard.relay.hook import make_listener_domain

HOSTS = {
    "shop.example": ["10.0.0.0/24"],
    "news.example": ["10.0.1.7", "2001:db8:7::/64"],
}


async def get_listener_domain(domain, listener, conn_meta):
    """May be async: a look-up in a database, say, has its place here."""
    if domain in HOSTS:
        return make_listener_domain(relay_from=HOSTS[domain])
    return None

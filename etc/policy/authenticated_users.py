"""Whoever has authenticated may send anywhere.

In guard.toml, below [[listener]]:

    policy = "policy/authenticated_users.py"
    credentials = "credentials.toml"

For everybody else the listener_domains files decide: this function says None.
"""

from guard.relay.hook import make_listener_domain


def get_listener_domain(domain, listener, conn_meta):
    """Asked for the domain of the sender and of the recipient, once per session."""
    if conn_meta.get_meta("authz_id"):
        return make_listener_domain(relay_to=True)
    return None

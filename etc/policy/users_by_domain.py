"""A map of who may send to which domain.

In guard.toml, below [[listener]]:

    policy = "policy/users_by_domain.py"
    credentials = "credentials.toml"
"""

from guard.relay.hook import make_listener_domain

MAY_SEND_TO = {
    "partner.example": {"ann", "bob"},
    "archive.example": {"backup"},
}


def get_listener_domain(domain, listener, conn_meta):
    """Asked for the domain of the sender and of the recipient, once per session."""
    if conn_meta.get_meta("authz_id") in MAY_SEND_TO.get(domain, ()):
        return make_listener_domain(relay_to=True)
    return None

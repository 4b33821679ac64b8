"""Writes guard/protect/senders.toml from MISP's warning lists (CC0) of mail senders.

    tools/make_senders.py FOLDER > guard/protect/senders.toml

FOLDER holds google-gmail-sending-ips.json, microsoft-office365-ip.json and smtp-sending-ips.json of
github.com/MISP/misp-warninglists. The last names no owners; the table below gives the large ones
theirs, so that each is refreshed from its own SPF record and bounded by its own size.
"""

import json
import sys
from pathlib import Path

from guard.lib.networks import Network, parse_network
from guard.lib.prefixes import collapse

# name, SPF domains, and blocks within which a sender's networks lie.
OWNERS = (
    ("gmail", "_spf.google.com", "74.125.0.0/16 209.85.128.0/17"),
    ("microsoft-365", "spf.protection.outlook.com", "40.92.0.0/14 52.100.0.0/14 104.47.0.0/17"),
    (
        "yahoo",
        "_spf.mail.yahoo.com",
        "66.163.184.0/21 67.195.0.0/16 68.142.192.0/18 72.30.0.0/16 74.6.128.0/21 77.238.176.0/22 "
        "87.248.110.0/24 98.136.0.0/14 106.10.128.0/17 124.108.96.0/24 188.125.69.0/24 "
        "203.188.192.0/20 209.191.64.0/18 209.73.160.0/19 212.82.96.0/19 216.109.112.0/20 "
        "216.252.96.0/19 216.39.48.0/20 63.27.6.0/24 66.196.81.0/24 69.147.64.0/18 "
        "202.93.77.0/24 202.93.78.0/24 46.228.39.0/24 66.218.64.0/18",
    ),
    ("apple", "icloud.com", "17.0.0.0/8 57.103.64.0/18 144.178.36.0/22 2a01:b747::/32"),
    (
        "amazon-ses",
        "amazonses.com",
        "54.240.0.0/17 69.169.224.0/20 23.249.208.0/20 23.251.224.0/19 76.223.128.0/18 "
        "199.255.192.0/22 199.127.232.0/22 206.55.144.0/20 216.221.160.0/19 24.110.64.0/18",
    ),
    (
        "sendgrid",
        "sendgrid.net",
        "50.31.32.0/19 149.72.0.0/16 159.183.0.0/16 167.89.0.0/17 168.245.0.0/17 192.254.112.0/20 "
        "198.21.0.0/21 198.37.144.0/20 208.117.48.0/20 223.165.112.0/20",
    ),
    ("mailgun", "mailgun.org", ""),
    (
        "mailchimp",
        "servers.mcsv.net spf.mandrillapp.com",
        "205.201.128.0/20 198.2.128.0/18 148.105.0.0/16",
    ),
    ("postmark", "spf.mtasv.net", ""),
    ("fastmail", "spf.messagingengine.com", "103.168.172.128/27 202.12.124.128/27"),
    ("proton", "_spf.protonmail.ch", "185.70.40.0/22 79.135.106.0/23"),
    (
        "zoho",
        "zohomail.com",
        "136.143.160.0/19 135.84.80.0/22 204.141.32.0/20 165.173.128.0/17 169.148.128.0/17 "
        "185.136.204.0/22",
    ),
    ("ovh", "mx.ovh.com", "5.135.116.0/26 5.196.150.0/24 176.31.205.128/27 151.80.72.160/27"),
    ("zendesk", "mail.zendesk.com", "188.172.128.0/20 192.161.144.0/20 216.198.0.0/18"),
    ("salesforce", "_spf.salesforce.com", "13.111.0.0/16 136.147.128.0/18"),
    (
        "mail-ru",
        "_spf.mail.ru",
        "94.100.176.0/20 217.69.128.0/20 128.140.168.0/21 95.163.32.0/19 79.137.240.0/21",
    ),
    ("facebook", "facebookmail.com", "66.220.144.0/20 69.171.224.0/19 69.63.176.0/20"),
    ("brevo", "spf.brevo.com", "185.41.28.0/22 77.32.128.0/18"),
    ("constant-contact", "spf.constantcontact.com", "208.75.120.0/22"),
)


def entries(path: Path) -> tuple[list[Network], str]:
    """The networks of one warning list, and its date."""
    data = json.loads(path.read_text())
    return [parse_network(text) for text in data["list"]], str(data["version"])[:8]


def main(folder: Path) -> None:
    """Prints the file."""
    gmail, _ = entries(folder / "google-gmail-sending-ips.json")
    office, _ = entries(folder / "microsoft-office365-ip.json")
    sending, date = entries(folder / "smtp-sending-ips.json")
    found = {"gmail": gmail, "microsoft-365": office}
    homes = [(parse_network(t), name) for name, _, texts in OWNERS for t in texts.split()]
    homes += [(n, "gmail") for n in gmail] + [(n, "microsoft-365") for n in office]
    for network in sending:
        name = next((name for home, name in homes if home.covers(network)), "others")
        found.setdefault(name, []).append(network)
    print("# Who sends much of the world's mail, and so is never blocked: written by")
    print("# tools/make_senders.py. Networks are of MISP's warning lists smtp-sending-ips,")
    print(
        "# google-gmail-sending-ips and microsoft-office365-ip (github.com/MISP/misp-warninglists,"
    )
    print("# CC0 1.0). `spf` are the domains whose SPF records say who may send for them today.\n")
    print('source = "MISP warning lists, CC0 1.0"')
    print(f'date = "{date[:4]}-{date[4:6]}-{date[6:]}"')
    for name, spf in [(name, spf) for name, spf, _ in OWNERS] + [("others", "")]:
        print(f'\n[[sender]]\nname = "{name}"')
        print(f"spf = {json.dumps(spf.split())}")
        print("networks = [")
        for network in collapse(found.get(name, [])):
            print(f'  "{network}",')
        print("]")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""Guard counts what a mail server refuses, per address, and drops offenders in the kernel.

Everything that speaks against an address becomes a claim in one ledger; the kernel mirrors the
ledger; nothing else ever blocks anybody. Start reading in `roles/`.

The floors, from the ground up; imports run downward only, and tests/test_floors.py holds that:

    lib                                     tools that know nothing of Guard
    events, records                         what flows, and its KumoMTA form
    roles                                   the plug-in points
    relay, filters, jails, protect          pure decisions
    smtp, mail, sources, stores, firewall, feeds, enrichment, reporters, web, pipeline, chronicle,
    exchange
                                            the parts; they never import each other
    operations, control, lists              what the operator can do
    parts, daemon                           what runs
    config                                  guard.toml
    listeners                               the listeners, made from it and kept up to date
    assemble                                settings to objects
    cli                                     what an operator types
"""

__version__ = "0.1.0"

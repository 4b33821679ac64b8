"""Reports to AbuseIPDB: what the jails of this host banned for what they saw, and nothing else.

    claims -> inbox -> outbox (SQLite) -> rules of the store (15 minutes, day's quota) -> HTTP

facts.py says what is told and is all that is ever kept, categories.py and wording.py put it in
AbuseIPDB's terms, answers.py reads what it answers; these are pure. seen.py remembers what banned
addresses did, intake.py takes bans, fitness.py says whom not to tell of after all, rules.py keeps
the rules, sender.py and bulk.py decide what goes when, api.py calls, desk.py is what the daemon and
the commands see.
"""

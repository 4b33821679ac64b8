"""Reports to AbuseIPDB: what the jails of this host banned for what they saw, and nothing else.

    claims -> inbox -> outbox (SQLite) -> rules of the store (15 minutes, day's quota) -> HTTP

facts.py says what is told and is all that is ever kept, categories.py and wording.py put it in
AbuseIPDB's terms, answers.py reads what it answers; these are pure. seen.py remembers what banned
addresses did, api.py calls, reporter.py decides what is sent when.
"""

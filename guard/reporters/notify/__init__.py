"""Notifications: bans and un-bans told to people and programs, one at a time or as a digest.

    claims -> inbox -> book (SQLite) -> an occasion -> a body -> HTTP, or our own spool

values.py says what is told, words.py puts it in words, plain.py, slack.py, discord.py, teams.py and
maildigest.py in the form of each receiver; all of these are pure. book.py keeps what waits,
pace.py decides when how much is told at once, and notifier.py does it.
"""

"""Who may relay, and who may log in.

Start at verdict.py, what is asked and answered, and policy.py, the decision: pure, like domain.py,
domain_map.py, options.py, explain.py, traps.py and hiding.py. What reads files, runs the operator's
own code or waits for it stands apart: listener_domains.py (load), hook.py, calls.py, hooked.py,
credentials.py, and live.py, which holds all of it for one listener and exchanges it on a reload.
"""

"""Simulated seeds of pools, supervisors, mailboxes and whole stages; `python -m benchmarks.simulation`."""

"""Simulated seeds of pools, supervisors, mailboxes, stages; `python -m benchmarks.simulation`."""

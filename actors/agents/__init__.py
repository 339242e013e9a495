"""Agents: the loop from a prompt to an answer."""

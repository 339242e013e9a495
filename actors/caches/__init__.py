"""Caches: nothing asked twice, nothing leaked."""

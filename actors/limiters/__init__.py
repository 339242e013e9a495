"""Limiters: who may call whom, and when."""

"""Serving: what a runtime needs that lives for months inside of a daemon.

Signals, the service manager's notifications, health, a configuration that changes while it runs.
Nothing here is loaded by a program that does not ask for it.
"""

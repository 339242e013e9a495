"""Errors of the kernel that are pykka's errors too, so `except pykka.Timeout` keeps working."""

from __future__ import annotations

import pykka

from understudy.messages import errors


class ActorDeadError(errors.ActorDeadError, pykka.ActorDeadError):
    """The actor has ended, or ended before it answered."""


class DeadlineExceededError(errors.DeadlineExceededError, pykka.Timeout):
    """No answer before the deadline."""

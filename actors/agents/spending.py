"""Keeping to budgets: before and after each model call of a run."""

from __future__ import annotations

from understudy.actors.agents.ports import ServedModel
from understudy.actors.agents.progress import Progress
from understudy.messages.budgets import Account
from understudy.messages.chat import Usage
from understudy.messages.errors import BudgetExceededError, ConfigError

Accounts = tuple[Account, ...]


def check_priced(run: Progress, served: ServedModel) -> None:
    """Raise ConfigError where a budget counts dollars and a model has no price."""
    if all(account.limit.usd is None for account in run.origin.accounts):
        return
    if run.price_of(served.provider, served.model) is None:
        name = f"{served.provider}:{served.model}"
        msg = (
            f"Budget(usd=...) needs the price of {name}: give "
            f"Runtime(prices={{{name!r}: Price(input=..., output=...)}}), or in the configuration "
            f'[prices."{name}"] input = ..., output = ... (US dollars for a million tokens)'
        )
        raise ConfigError(msg)


def begin_call(run: Progress) -> float | None:
    """Count one more model call; gives the seconds that it may take, None where no budget says.

    Raises:
        BudgetExceededError: nothing is left.
    """
    now = run.now()
    seconds: float | None = None
    for account in run.origin.accounts:
        spent = account.call(now)
        if spent is not None:
            raise exceeded(run, spent)
        left = account.left(now)
        if left is not None:
            seconds = left if seconds is None else min(seconds, left)
    return seconds


def seconds_left(run: Progress) -> float | None:
    """Seconds until a budget around the run is used up; None where none says."""
    now = run.now()
    lefts = [left for each in run.origin.accounts if (left := each.left(now)) is not None]
    return max(0.0, min(lefts)) if lefts else None


def charge(run: Progress, usage: Usage, usd: float | None) -> None:
    """A model call has ended: every budget around it pays."""
    for account in run.origin.accounts:
        account.charge(usage, usd)


def check_spent(run: Progress) -> None:
    """Raise BudgetExceededError where the last call went over the edge."""
    now = run.now()
    for account in run.origin.accounts:
        spent = account.over(now)
        if spent is not None:
            raise exceeded(run, spent)


def exceeded(run: Progress, spent: str) -> BudgetExceededError:
    """The error, with what the run has so far."""
    msg = f"the budget is spent: {spent}; the result so far is in .partial"
    return BudgetExceededError(msg, partial=run.result(), usage=run.usage)

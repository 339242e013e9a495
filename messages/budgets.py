"""Budgets: what runs may spend, and the account of what they have spent.

A `Budget` says bounds and is data; its account belongs to the object, so one object that is passed
to several runs adds up over all of them, nested runs included. An agent that *has* a budget
(`Agent(budget=...)`) gives each of its runs an account of its own.

Guarantees: a model call is counted before it is made, so that runs beside one another share
`calls` exactly; tokens and money are known after it, so the last call may go over the edge, and
then it is the last.
"""

from __future__ import annotations

from _thread import allocate_lock

import msgspec

from understudy.messages.chat import Usage
from understudy.messages.errors import ConfigError
from understudy.messages.kinds import NOT_NEGATIVE, more_than_nothing

_MORE = more_than_nothing("more than 0 is needed")


class Price(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model costs, in US dollars for a million tokens.

    Attributes:
        cached: input tokens that the provider had in its cache; None: as `input`.
    """

    input: float
    output: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not NOT_NEGATIVE.fits(value):
                msg = f"Price({name}={value!r}): 0 or more US dollars for a million tokens"
                raise ConfigError(msg)

    def of(self, usage: Usage) -> float:
        """Dollars for so many tokens."""
        cached = self.input if self.cached is None else self.cached
        fresh = usage.input_tokens - usage.cached_tokens
        sum_ = fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output
        return sum_ / 1_000_000


class Spent(msgspec.Struct, frozen=True, kw_only=True):
    """What was spent; `seconds` is the time in which at least one of the runs was under way."""

    usd: float = 0.0
    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0


class Budget(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, eq=True, dict=True
):
    """What may be spent; None is unlimited.

    Attributes:
        usd: US dollars, by the prices of the Runtime.
        tokens: input and output together.
        calls: model calls.
        seconds: time in which runs with this budget are under way.
    """

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if not given:
            raise ConfigError("Budget(): give at least one of usd=, tokens=, calls=, seconds=")
        for name in given:
            _MORE.check("Budget", name, getattr(self, name))

    @property
    def account(self) -> Account:
        """The account of this object; an equal budget has another."""
        account: Account | None = self.__dict__.get("_account")
        if account is None:
            account = self.__dict__.setdefault("_account", Account(self))
        return account

    @property
    def spent(self) -> Spent:
        """What the runs that were given this object have spent so far."""
        return self.account.spent


class Account:
    """What was spent of one budget. Any thread."""

    __slots__ = ("_lock", "_runs", "_since", "calls", "limit", "seconds", "tokens", "usd")

    def __init__(self, limit: Budget) -> None:
        self.limit = limit
        self.usd = 0.0
        self.tokens = 0
        self.calls = 0
        self.seconds = 0.0
        self._runs = 0
        self._since = 0.0
        self._lock = allocate_lock()

    @property
    def spent(self) -> Spent:
        """As data; seconds of runs that are under way are added when they end."""
        return Spent(usd=self.usd, tokens=self.tokens, calls=self.calls, seconds=self.seconds)

    def begin(self, now: float) -> None:
        """A run with this budget begins."""
        with self._lock:
            if not self._runs:
                self._since = now
            self._runs += 1

    def end(self, now: float) -> None:
        """It has ended."""
        with self._lock:
            self._runs -= 1
            if not self._runs:
                self.seconds += now - self._since

    def left(self, now: float) -> float | None:
        """Seconds that are left, or None where they are not bounded."""
        if self.limit.seconds is None:
            return None
        return self.limit.seconds - self.seconds - (now - self._since if self._runs else 0.0)

    def call(self, now: float) -> str | None:
        """Count one more model call; says what is spent instead when there shall be none."""
        with self._lock:
            spent = self._spent(now, ahead=True)
            if spent is None:
                self.calls += 1
            return spent

    def charge(self, usage: Usage, usd: float | None) -> None:
        """A call was made: add what it took (unpriced: nothing)."""
        with self._lock:
            self.tokens += usage.total_tokens
            self.usd += usd or 0.0

    def over(self, now: float) -> str | None:
        """What was overspent, or None."""
        with self._lock:
            return self._spent(now, ahead=False)

    def _spent(self, now: float, *, ahead: bool) -> str | None:
        """The first bound that is passed, or with `ahead` reached."""
        limit, left = self.limit, self.left(now)
        for name, bound, spent in (
            ("usd", limit.usd, self.usd),
            ("tokens", limit.tokens, self.tokens),
            ("calls", limit.calls, self.calls),
        ):
            if bound is not None and (spent >= bound if ahead else spent > bound):
                return f"{name}={bound:g} ({spent:g} spent)"
        if left is not None and left <= 0:
            return f"seconds={limit.seconds:g}"
        return None

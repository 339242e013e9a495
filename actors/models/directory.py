"""Which Model actor serves which name.

One Model actor for each (provider, account, address), made when first asked for, under
`/system/models`. The transport is shared by all of them and made when the first one needs it, so a
runtime that only uses in-process models never imports httpx.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

from understudy.actors.kernel.options import ChildSpec, MailboxOptions, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.actors.models.model import ModelActor
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.registry import ProviderEntry, provider_for
from understudy.messages.agents import AgentSpec
from understudy.messages.control import Overflow
from understudy.messages.errors import AuthenticationError, ConfigError
from understudy.messages.secrets import Secret, resolve_secret

if TYPE_CHECKING:
    import httpx

LOCAL = "local"


class Defaults(NamedTuple):
    """What agents use that do not say otherwise (`[llm]`)."""

    model: str | None = None
    base_url: str | None = None
    api_key: str | Secret | None = None
    temperature: float | None = None
    max_tokens: int | None = None


class Served(NamedTuple):
    """A Model actor, and the name of the model behind the provider's colon."""

    ref: Ref[Any]  # Any: Ref of ModelActor
    model: str
    provider: str
    account: str = LOCAL
    """Tells apart accounts and addresses at one provider; never a key."""
    durable: bool = True
    """Whether that means the same in another process."""


class ModelDirectory:
    """Finds the Model actor of an agent; on the loop's thread.

    Args:
        system: where the actors live.
        defaults: `[llm]`.
        limiter_for: the limiters of a provider's account; the last argument says whether it is
            called over the network.
        transport: makes the shared transport, when the first provider needs it.
        environ: where `env:NAME` and the usual variables are looked up.
    """

    def __init__(
        self,
        system: ActorSystem,
        *,
        defaults: Defaults,
        limiter_for: Callable[[str, str, bool], Callable[[str], Ref[Any] | None]],
        transport: Callable[[], httpx.AsyncBaseTransport],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._system = system
        self.defaults = defaults
        self._limiter_for = limiter_for
        self._make_transport = transport
        self._transport: httpx.AsyncBaseTransport | None = None
        self._environ = environ
        self._served: dict[tuple[Any, ...], Served] = {}  # Any: fields of the spec
        self._actors: dict[tuple[Any, ...], Ref[Any]] = {}  # Any: Ref of ModelActor
        self._numbers = itertools.count(1)
        branch = ChildSpec(cls=Guardian, name="models")
        self._branch: Ref[Guardian] = system.spawn(branch, parent=system.infrastructure).get()

    def find(self, spec: AgentSpec) -> Served:
        """The actor for `spec`.

        Raises:
            ConfigError: no model, an unknown provider, settings that cannot work.
            AuthenticationError: the provider needs a key and there is none.
        """
        model = spec.model or self.defaults.model
        named = isinstance(model, str)
        key = (model if named else id(model), spec.base_url, spec.api_key)
        served = self._served.get(key)
        if served is None or not served.ref.is_alive():
            served = self._named(str(model), spec) if named else self._object(model)
            self._served[key] = served
        return served

    def reconfigure(self, defaults: Defaults) -> None:
        """Other defaults for calls that begin from now on. Any thread."""
        self.defaults = defaults
        self._served = {}

    async def aclose(self) -> None:
        """Close the transport."""
        if self._transport is not None:
            await self._transport.aclose()

    def _object(self, model: Any) -> Served:  # Any: a model object of this process, or nothing
        if model is None:
            msg = (
                "no model: name one in the call (model=...), in the agent "
                "(Agent('openai:gpt-5-mini')) or in the configuration ([llm] model)"
            )
            raise ConfigError(msg)
        if not all(hasattr(model, part) for part in ("name", "complete", "stream", "aclose")):
            msg = f"{model!r} is not a model: pass 'provider:model' or an object like FakeModel"
            raise ConfigError(msg)
        ref = self._spawn(model, ("object", id(model)), remote=False)
        # The path is used once in a runtime; an object means nothing outside of it.
        return Served(ref, model.name, model.name, account=ref.path, durable=False)

    def _named(self, name: str, spec: AgentSpec) -> Served:
        provider, colon, model = name.partition(":")
        if not colon or not model:
            msg = f"model {name!r}: write it as 'provider:model', such as 'openai:gpt-5-mini'"
            raise ConfigError(msg)
        if provider == LOCAL:
            return Served(self._local(), model, provider)
        entry = provider_for(provider)
        settings = ProviderSettings(
            base_url=spec.base_url or self.defaults.base_url, api_key=self._key(entry, spec, model)
        )
        key = (provider, settings.base_url, settings.api_key)
        ref = self._alive(key)
        if ref is None:
            if self._transport is None:
                self._transport = self._make_transport()
            ref = self._spawn(entry.factory(settings, self._transport), key, remote=True)
        return Served(ref, model, provider, account=_account(settings))

    def _key(self, entry: ProviderEntry, spec: AgentSpec, model: str) -> Secret | None:
        given = spec.api_key if spec.api_key is not None else self.defaults.api_key
        if given is None and entry.key_variable is not None:
            if not self._environ.get(entry.key_variable):
                msg = (
                    f"{entry.name} needs a key: export {entry.key_variable}=..., or give api_key= "
                    "to the agent, or [llm] api_key"
                )
                raise AuthenticationError(msg, provider=entry.name, model=model)
            given = f"env:{entry.key_variable}"
        return resolve_secret(given, self._environ)

    def _local(self) -> Ref[Any]:  # Any: Ref of ModelActor
        from understudy.actors.models.extractive import ExtractiveWorker, LocalModel

        ref = self._alive((LOCAL,))
        if ref is None:
            workers = [
                self._child(child(ExtractiveWorker), "extractive")
                for _ in range(max(1, min(1, os.cpu_count() or 1)))
            ]
            ref = self._spawn(LocalModel(workers), (LOCAL,), remote=False)
        return ref

    def _spawn(
        self,
        provider: Any,  # Any: a Provider
        key: tuple[Any, ...],  # Any: what tells accounts apart
        *,
        remote: bool,
    ) -> Ref[Any]:  # Any: Ref of ModelActor
        same = [other for other in self._actors if other[0] == key[0]]
        account = f"account {len(same) + 1}" if same and remote else ""
        limiters = self._limiter_for(provider.name, account, remote)
        ref = self._child(child(ModelActor, provider, limiters), provider.name)
        self._actors[key] = ref
        return ref

    def _alive(self, key: tuple[Any, ...]) -> Ref[Any] | None:  # Any: Ref of ModelActor
        ref = self._actors.get(key)
        return ref if ref is not None and ref.is_alive() else None

    def _child(self, spec: ChildSpec, name: str) -> Ref[Any]:  # Any: Ref of the spec's class
        # Senders wait: how many runs there may be at a time is decided before they get here.
        mailbox = MailboxOptions(overflow=Overflow.WAIT)
        named = spec.options(name=f"{name}-{next(self._numbers)}", mailbox=mailbox)
        return self._system.spawn(named, parent=self._branch.cell).get()


def _account(settings: ProviderSettings) -> str:
    """What tells apart accounts in every process, and does not give the key away."""
    key = settings.api_key
    said = f"{settings.base_url or ''}\x00{'' if key is None else key.reveal()}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()

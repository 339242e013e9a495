"""A planted key, and everything that a program can print: it is nowhere but on the wire."""

import logging
import pickle
import traceback
from collections.abc import Iterator

import msgspec
import pytest

from understudy import Agent, JsonLines, RunIds, Runtime, UnderstudyError
from understudy.messages.codec import encode_json
from understudy.messages.errors import to_wire
from understudy.messages.events import Event
from understudy.messages.secrets import Secret
from understudy.runtime.config.explain import merged, notes
from understudy.runtime.config.load import load_config
from understudy.testing import ProviderServer
from understudy.testing.provider_server.faults import (
    Blackhole,
    Fault,
    Huge,
    InvalidUtf8,
    Malformed,
    Reset,
    Status,
    StreamFault,
    Truncate,
)

pytestmark = pytest.mark.anyio
PLANTED = "sk-planted-7f3a9c1e5b"
FAULTS: list[Fault] = [
    Status(status=400),
    Status(status=401),
    Status(status=403),
    Status(status=429),
    Status(status=500),
    Reset(),
    Truncate(),
    Malformed(),
    InvalidUtf8(),
    Huge(),
    StreamFault(),
    Blackhole(),
]


class Everything(logging.Handler):
    """All lines of all loggers, in three formats, and whatever else is said."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.said: list[str] = []
        self.addFilter(RunIds())
        self._formats = (JsonLines(), logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.said += [each.format(record) for each in self._formats]
        self.said.append(repr(vars(record)))

    def say(self, *things: object) -> None:
        """Print everything that there is about these."""
        for thing in things:
            self.said += [repr(thing), str(thing)]
            if isinstance(thing, BaseException):
                self.said.append("".join(traceback.format_exception(thing)))
                self.said.append(repr(vars(thing)))
            if isinstance(thing, UnderstudyError):
                self.said.append(repr(pickle.dumps(thing)))
                self.said.append(encode_json(to_wire(thing)).decode())


@pytest.fixture
def everything() -> Iterator[Everything]:
    """On the root logger, with everything on."""
    handler, root = Everything(), logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield handler
    root.setLevel(before)
    root.removeHandler(handler)


FILE = """
[llm]
model = "{provider}:m"
base_url = "{url}"
api_key = "{key}"
max_tokens = 20
[agents.a]
api_key = "{key}"
retries = 0
timeout = "700ms"
[agents.b]
[workflows.w]
mode = "sequential"
[[workflows.w.steps]]
name = "one"
agent = "a"
"""


@pytest.mark.parametrize("provider", ["openai", "anthropic", "openai-responses"])
async def test_it_is_never_seen(everything: Everything, provider: str) -> None:
    """Runs, streams, workflows, each fault: logs, errors, events, reprs, dumps, reports."""
    for fault in [None, *FAULTS]:
        async with ProviderServer([fault] * 8 if fault else None, api_key=PLANTED) as server:
            url = (
                server.base_url if provider != "anthropic" else server.base_url.removesuffix("/v1")
            )
            text = FILE.format(provider=provider, url=url, key=PLANTED)
            config = load_config(text, {})
            rt = Runtime(config=config)
            async with rt:
                rt.events.subscribe(Event, everything.say)
                agent = config.agents["a"]
                for work in (
                    rt.arun(agent, "x"),
                    rt.arun(rt.workflow("w"), "x"),
                    streamed(rt, agent),
                ):
                    try:
                        everything.say(await work)
                    except UnderstudyError as error:
                        everything.say(error)
                everything.say(config, agent, rt, rt.tree(), rt.health(), rt.ledger)
                everything.said.append(encode_json(rt.tree()).decode())
                everything.say(*rt.dead_letters.recent(), await rt.alimiters())
                report = await rt.astop()
            everything.say(report, merged(config), *notes(config, {}))
            # It was really sent: else this would find nothing in anything.
            assert any(PLANTED in str(request.headers) for request in server.requests)
    assert len(everything.said) > 100
    assert not [text for text in everything.said if PLANTED in text]


async def streamed(rt: Runtime, agent: object) -> list[object]:
    """The chunks of a stream."""
    async with rt.stream(agent, "x") as stream:  # type: ignore[arg-type]
        return [chunk async for chunk in stream]


async def test_nothing_that_holds_it_encodes() -> None:
    """Not by accident and not on purpose: what leaves the process says where to find it."""
    agent = Agent("openai:m", api_key=Secret(PLANTED))
    for encode in (encode_json, msgspec.msgpack.encode, pickle.dumps):
        with pytest.raises(Exception, match=r".") as caught:
            encode(agent)
        assert PLANTED not in str(caught.value)
    assert PLANTED not in repr(agent) + str(agent) + repr(agent.with_(name="x"))


async def test_a_mistake_beside_it_does_not_show_it() -> None:
    """Errors of the file quote what is wrong, never the key."""
    text = f'[llm]\napi_key = "{PLANTED}"\nmodle = 3\n[agents.a]\napi_key = "{PLANTED}"\nseed = "x"'
    with pytest.raises(UnderstudyError) as caught:
        load_config(text, {"UNDERSTUDY_LLM__API_KEY": PLANTED, "UNDERSTUDY_RUNTIME__THREADS": "x"})
    assert PLANTED not in "".join(traceback.format_exception(caught.value))

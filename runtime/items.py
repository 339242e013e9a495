"""`stream.items()`: the elements of a list, each as soon as the model has written it.

Guarantees: what comes is of the element's type, validated as the whole list is; the elements, one
after the other, are the list in the result. Where the text does not show them early (the JSON is
surrounded by words, an element is wrong and the model is asked again) the rest comes when the run
has ended. When the second answer takes back what was given already, that is an `OutputError`.

There are no partial elements: half a `City` is not a `City`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Generic, TypeVar

from understudy.actors.agents.output import OutputPlan, output_plan
from understudy.actors.agents.shapes import MismatchError
from understudy.actors.rules.json_items import ArraySplitter
from understudy.messages.agents import Result
from understudy.messages.chunks import AnyChunk, ToolCallStarted
from understudy.messages.errors import ConfigError, OutputError

if TYPE_CHECKING:
    from understudy.runtime.reading import StreamReader

E = TypeVar("E")


class Items(Generic[E]):
    """See the module's docstring; `for` and `async for`, once. It reads the stream.

    Args:
        stream: of an agent with a list as its output.
        output: the agent's `output=`.

    Raises:
        ConfigError: the output is no list.
    """

    def __init__(self, stream: StreamReader[list[E]], output: object) -> None:
        plan = None if output is None or output is str else output_plan(output)
        if plan is None or not plan.is_list:
            what = "text" if plan is None else f"output={plan.name}"
            msg = f"stream.items() gives the elements of a list: this agent has {what}"
            raise ConfigError(f"{msg}; give it output=list[...]")
        self._stream = stream
        self._plan: OutputPlan = plan
        self._splitter = ArraySplitter()
        self._wrong = False
        self._given: list[E] = []
        self._texts: list[str] = []

    def __iter__(self) -> Iterator[E]:
        for chunk in self._stream:
            yield from self._completed(chunk)
        yield from self._rest(self._stream.result)

    async def __aiter__(self) -> AsyncIterator[E]:
        async for chunk in self._stream:
            for item in self._completed(chunk):
                yield item
        for item in self._rest(self._stream.result):
            yield item

    def _completed(self, chunk: AnyChunk) -> Iterator[E]:
        if isinstance(chunk, ToolCallStarted) and not self._given:
            self._splitter = ArraySplitter()  # what came before a call is not the answer
        if not chunk.delta or self._wrong:
            return
        for text in self._splitter.feed(chunk.delta):
            try:
                item: E = self._plan.read_item(text)
            except MismatchError:
                self._wrong = True  # the run finds out too, and asks again
                return
            self._given.append(item)
            self._texts.append(text)
            yield item

    def _rest(self, result: Result[list[E]]) -> list[E]:
        count = len(self._given)
        same = result.output[:count] == self._given
        if not same and ArraySplitter().feed(result.text)[:count] != self._texts:
            raise OutputError(
                f"{result.provider}:{result.model} was asked again, and its second list does not "
                f"begin with the {count} elements that were given already",
                partial=result.text,
                usage=result.usage,
                provider=result.provider,
                model=result.model,
                attempts=result.attempts,
            )
        return result.output[count:]

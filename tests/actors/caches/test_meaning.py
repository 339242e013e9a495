"""Answers to the same question in other words: which are taken, why, and never wrongly."""

from collections.abc import Sequence
from typing import Any

import pytest

from understudy import Agent, Cache, Runtime, UserMessage
from understudy.actors.caches.meaning import Meaning
from understudy.actors.caches.question import Wording
from understudy.actors.models.embedding import packed
from understudy.messages.caches import CacheSpec
from understudy.messages.chat import AssistantMessage, Usage
from understudy.messages.models import Embed, Embeddings
from understudy.testing import FakeModel, assert_quiet

pytestmark = pytest.mark.anyio


class Embedding(FakeModel):
    """A model that makes vectors as a function says."""

    def __init__(self, vector: Any) -> None:
        super().__init__(lambda messages: str(messages[-1].content))
        self.vector = vector
        self.embedded: list[tuple[str, ...]] = []

    async def embed(self, request: Embed, *, timeout: float | None = None) -> Embeddings:
        """See `Embedder.embed`."""
        self.embedded.append(request.texts)
        vectors = tuple(packed(self.vector(text)) for text in request.texts)
        return Embeddings(vectors=vectors, dimensions=2, usage=Usage(), model="m", provider="fake")


async def test_strict_takes_the_same_words_and_says_why() -> None:
    """Other politeness, the same question; the entry that answered is named."""
    fake = FakeModel.echo()
    agent = Agent(fake, cache=Cache(semantic="strict"))
    async with Runtime() as rt:
        await rt.arun(agent, "What is the capital of France?")
        result = await rt.arun(agent, "what's the capital of France")
        assert result.cached is not None
        assert result.cached.layer == "strict"
        assert result.cached.why == "the same words as 'What is the capital of France?'"
        assert (await rt.arun(agent, "What is the capital of Spain?")).cached is None
        stats = (await rt.acaches())["answers-1"]
        assert (stats.semantic_hits, stats.hits, stats.misses) == (1, 1, 2)


async def test_everything_but_the_wording_has_to_be_equal() -> None:
    """Tenant, model, system, history, sampling and tools are no matter of wording."""
    fake = FakeModel.echo()
    agent = Agent(fake, cache=Cache(semantic="strict"), instructions="be brief")

    def look(x: int) -> int:
        """Look."""
        return x

    async with Runtime() as rt:
        await rt.arun(agent, "What is it?")
        for options in (
            {"tenant": "other"},
            {"instructions": "be long"},
            {"temperature": 0.1},
            {"tools": (look,)},
            {"model": FakeModel.echo()},
            {"history": (UserMessage(content="a"), AssistantMessage(content="b"))},
        ):
            result = await rt.arun(agent, "what is it", **options)
            assert result.cached is None, options
        assert (await rt.arun(agent, "what is it")).cached is not None


async def test_an_entry_that_has_gone_answers_nothing() -> None:
    """Evicted, ended or invalidated: its wording is forgotten with it."""
    agent = Agent(FakeModel.echo(), cache=Cache(semantic="strict", max_size=1))
    async with Runtime() as rt:
        await rt.arun(agent, "What is it?")
        await rt.arun(agent, "What is that?")
        assert (await rt.arun(agent, "what is it")).cached is None
        await rt.ainvalidate(tenant="")
        assert (await rt.arun(agent, "What is it?")).cached is None


async def test_wordings_are_found_in_the_file_too(tmp_path: Any) -> None:
    """A later process takes the answer of an earlier one to the same question."""
    spec = Cache(semantic="strict", path=tmp_path / "c.db")
    agent = Agent("local:extractive", cache=spec)
    async with Runtime() as rt:
        await rt.arun(agent, "Explain the tides. They rise.")
        await spec.astats(runtime=rt)
    async with Runtime() as rt:
        result = await rt.arun(agent, "Please explain the tides. They rise.")
        assert result.cached is not None
        assert result.cached.layer == "strict"
        again = await rt.arun(agent, "Could you explain the tides. They rise.")
        assert again.cached is not None, "and is in memory then"


async def test_embeddings_decide_behind_the_gate_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Near enough and through the gate; each text is embedded once, and only when compared."""

    def vector(text: str) -> Sequence[float]:
        return [0.9, 0.436] if "the plan" in text else [1.0, 0.0]

    model = Embedding(vector)
    async with Runtime() as rt:
        served = rt.crew.models.find(Agent(model))
        monkeypatch.setattr(rt.crew, "_model_of", lambda name: (served.ref, name))
        rt.crew.caches._model_of = rt.crew._model_of
        agent = Agent(model, cache=Cache(semantic="embedding", embedder="fake:vectors"))
        await rt.arun(agent, "Give me a plan")
        await rt.arun(agent, "What is nonsense?")
        assert model.embedded == [], "nothing was there to compare with"
        hit = await rt.arun(agent, "Give a plan")
        assert hit.cached is not None
        assert hit.cached.layer == "embedding"
        assert hit.cached.why == ("through the gate, cosine 1.000 >= 0.95 with 'Give me a plan'")
        assert model.embedded == [("Give a plan", "Give me a plan")]
        assert (await rt.arun(agent, "Give plan")).cached is not None
        assert model.embedded[1:] == [("Give plan",)]
        assert (await rt.arun(agent, "Give me the plan")).cached is None, "not near enough"
        assert_quiet(rt)


@pytest.mark.parametrize(
    "vectors",
    [
        {"Give a plan": [float("nan"), 1.0], "Give me a plan": [1.0, 0.0]},
        {"Give a plan": [1.0, 0.0, 0.0], "Give me a plan": [1.0, 0.0]},
        {"Give a plan": [0.0, 0.0], "Give me a plan": [1.0, 0.0]},
    ],
    ids=["NaN", "dimensions", "nothing"],
)
async def test_vectors_that_have_no_cosine_are_a_counted_miss(
    vectors: dict[str, list[float]],
) -> None:
    """The run goes on and asks the model."""
    model = Embedding(vectors.__getitem__)
    async with Runtime() as rt:
        served = rt.crew.models.find(Agent(model))
        rt.crew.caches._model_of = lambda name: (served.ref, name)
        agent = Agent(model, cache=Cache(semantic="embedding", embedder="fake:vectors"))
        await rt.arun(agent, "Give me a plan")
        assert (await rt.arun(agent, "Give a plan")).cached is None
        stats = (await rt.acaches())["answers-1"]
        assert (stats.errors, stats.semantic_hits) == (1, 0)
        assert "other dimensions than before, or no numbers" in (stats.problem or "")
        assert_quiet(rt)


async def test_an_embedder_that_fails_is_a_counted_miss() -> None:
    """A provider without embeddings, or one that is not there."""
    fake = FakeModel.echo()
    async with Runtime() as rt:
        agent = Agent(fake, cache=Cache(semantic="embedding", embedder="nobody:vectors"))
        await rt.arun(agent, "Give me a plan")
        assert (await rt.arun(agent, "Give a plan")).output == "echo: Give a plan"
        assert (await rt.acaches())["answers-1"].errors == 1
        assert_quiet(rt)


async def test_ngrams_rank_and_the_gate_decides() -> None:
    """Without an embedder: letters alone are never enough."""
    agent = Agent(FakeModel.echo(), cache=Cache(semantic="embedding", threshold=0.9))
    async with Runtime() as rt:
        long = "Explain in a few sentences what happens to the economy when {} rises"
        await rt.arun(agent, long.format("inflation"))
        assert (await rt.arun(agent, long.format("inflatiom"))).cached is None
        hit = await rt.arun(agent, long.format("the inflation"))
        assert hit.cached is not None
        assert hit.cached.layer == "embedding"


def test_a_partition_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest wordings are found no more; nothing of them is left."""
    monkeypatch.setattr("understudy.actors.caches.meaning.PARTITION", 100)
    meaning = Meaning(CacheSpec(semantic="strict"), _never)
    for number in range(1000):
        wording = Wording(b"p", f"Explain number {number}")
        meaning.add(b"%d" % number, meaning.gate(wording), b"p")
    assert len(meaning._places) == len(meaning._gates) == len(meaning._partitions[b"p"]) == 100
    assert meaning.through(meaning.gate(Wording(b"p", "explain number 999"))) == [b"999"]
    assert meaning.through(meaning.gate(Wording(b"p", "explain number 1"))) == []
    assert meaning.through(meaning.gate(Wording(b"q", "explain number 999"))) == []
    for number in range(1000):
        meaning.discard(b"%d" % number)
    assert not meaning._places
    assert not meaning._gates
    assert not meaning._partitions


async def _never(texts: tuple[str, ...]) -> list[bytes]:
    raise AssertionError(texts)

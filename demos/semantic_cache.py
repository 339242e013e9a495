"""Semantic Cache: similar questions, and questions that only look similar."""

from collections.abc import Iterator

from claim import Claim, Switches, judged, main

from understudy import Agent, Cache, Runtime
from understudy.actors.rules.ngrams import cosine, ngram_vector, unpacked
from understudy.testing import FakeModel

SAME = [
    ("What is the capital of France?", "please what is the capital of France?"),
    ("What is the capital of France?", "What's the capital of France?"),
    ("Tell me the opening hours.", "Could you tell me the opening hours please."),
    ("What is the capital of France?", "What is   capital of France?"),
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("How do I reset my password?", "I forgot my password, what now?"),
]
DIFFERENT = [
    ("Is this mushroom safe to eat?", "Is this mushroom not safe to eat?"),
    ("Convert 100 USD to EUR with today's rate.", "Convert 100 EUR to USD with today's rate."),
    (
        "What does the contract of 2023 say about notice?",
        "What does the contract of 2024 say about notice?",
    ),
    ("Give 5 mg to a patient of 50 kg every day?", "Give 5 g to a patient of 50 kg every day?"),
    (
        "How do I enable the firewall on this server?",
        "How do I disable the firewall on this server?",
    ),
]


def hits(agent: Agent[str], pairs: list[tuple[str, str]]) -> int:
    """How many second questions were answered from the first one's answer."""
    found = 0
    for number, (first, second) in enumerate(pairs):
        agent.run(first, tenant=str(number))  # pairs do not see each other
        found += agent.run(second, tenant=str(number)).cached is not None
    return found


def alike(first: str, second: str) -> float:
    """The cosine of their vectors: letters here; models of meaning do hardly better at this."""
    return cosine(*(unpacked(ngram_vector(text)) for text in (first, second))) or 0.0


def claims(switches: Switches) -> Iterator[Claim]:
    """The guide's rule (a cosine above 0.95), and what is done here instead."""
    model = switches.model_or(FakeModel.echo())
    strict = Agent(model, cache=Cache(semantic="strict"), name="strict")
    embedding = Agent(model, cache=Cache(semantic="embedding", threshold=0.7), name="embedding")
    near = [alike(*pair) for pair in DIFFERENT]
    far = [alike(*pair) for pair in SAME]
    with Runtime():
        right = {each.name: hits(each, SAME) for each in (strict, embedding)}
        wrong = {each.name: hits(each, DIFFERENT) for each in (strict, embedding)}
    yield Claim(
        claimed="a cosine of 95 % finds questions that are the same",
        measured=f"by vectors of letters, questions that mean the opposite are {min(near):.2f} to "
        f"{max(near):.2f} alike, questions that mean the same {min(far):.2f} to {max(far):.2f}: no "
        "threshold parts them. With real embedding models 'is safe' and 'is not safe' have "
        "0.86-0.99",
        verdict=judged(min(far) > max(near)),
        how=f"{len(SAME)} and {len(DIFFERENT)} pairs; hashed n-grams, which need no network",
    )
    yield Claim(
        claimed="similar queries are answered from the cache",
        measured=f"semantic='strict': {right['strict']} of {len(SAME)} that mean the same, "
        f"{wrong['strict']} of {len(DIFFERENT)} that do not; 'embedding': {right['embedding']} and "
        f"{wrong['embedding']}. A miss costs one call, a wrong hit somebody's trust",
        verdict="in part" if not any(wrong.values()) and right["strict"] else "does not hold",
        how="words that carry meaning (numbers, units, negations, order) must be equal before a "
        "cosine is looked at; off unless asked for",
    )


if __name__ == "__main__":
    main("Semantic Cache", claims)

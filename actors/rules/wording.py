"""Whether two questions are the same question in other words, by their words alone.

`strict_content` reduces a text to the tokens that carry its meaning, in order; two texts ask the
same exactly when theirs are equal. Only what cannot change a question is left out: politeness at
its beginning and end, a capital at the beginning of a question word, spaces, the final stop.
Numbers, units, negations, pronouns, names and their capitals, articles ("few" is not "a few"),
commas and the order of everything are content.

`loose_content` also leaves out articles and the verbs of asking, and folds capitals that follow a
stop. It is no proof, and only opens the gate to a comparison of meanings, which decides.

Why so narrow: no cosine tells "is safe" from "is not safe" (0.86 to 0.99 in common models). A rule
that misses costs one call, one that is wrong costs somebody's trust.
"""

from __future__ import annotations

import re
import unicodedata

Tokens = tuple[str, ...]

_WORD = re.compile(r"\n[^\S\n]*|[^\S\n]{2,}|[^\S\n]|\S+")
_AMOUNT = re.compile(r"([-+]?(?:\d+[.,])*\d+)([^\W\d_]+)(\W?)")
_QUOTES = frozenset("\"'`\u2018\u201c")

_CONTRACTED = {
    "what's": "what is",
    "who's": "who is",
    "where's": "where is",
    "how's": "how is",
    "i'm": "i am",
    "isn't": "is not",
    "aren't": "are not",
    "wasn't": "was not",
    "weren't": "were not",
    "don't": "do not",
    "doesn't": "does not",
    "didn't": "did not",
    "can't": "can not",
    "cannot": "can not",
    "couldn't": "could not",
    "won't": "will not",
    "wouldn't": "would not",
    "shouldn't": "should not",
    "haven't": "have not",
    "hasn't": "has not",
}
_CONTRACTION = re.compile(r"(?<![\w'])(?:" + "|".join(_CONTRACTED) + r")(?![\w'])", re.IGNORECASE)

_QUESTIONS = frozenset("what when where why which how".split())
"""Words that open a question; not `who`, which is also an organisation."""
_VERBS = frozenset(
    "calculate compare convert define describe explain find give list name show summarise "
    "summarize tell translate write".split()
)
"""What a model is asked to do; where a text begins with one, it is a request."""
_OPENERS = _QUESTIONS | _VERBS | frozenset(("who", "is", "are", "does", "do", "did", "please"))
_FOLDED = _OPENERS | frozenset(("can", "could", "would", "hi", "hello", "hey", "thanks", "i"))
"""Of these a capital at the beginning says nothing: none is a name when only that is large."""
_POLITE: tuple[Tokens, ...] = (
    ("please",),
    ("could", "you"),
    ("can", "you"),
    ("would", "you"),
)
_GREETINGS = frozenset(("hi", "hello", "hey"))
_ENDINGS: tuple[Tokens, ...] = (("please",), ("thanks",), ("thank", "you"))
_ARTICLES = frozenset(("a", "an", "the"))
_QUANTITIES = frozenset("bit couple few great little lot many most number one other".split())
"""Words that an article before them makes into others."""
_ASKING: tuple[Tokens, ...] = (
    ("tell", "me"),
    ("give", "me"),
    ("show", "me"),
    ("explain",),
    ("what", "is"),
    ("what", "are"),
)


def strict_content(text: str) -> Tokens:
    """The tokens that carry the meaning of a text, in order; empty when there are none."""
    tokens = _tokens(text)
    if not tokens:
        return ()
    tokens[0] = _folded(tokens[0])
    tokens = _without_greeting(tokens)
    tokens = _without_politeness(tokens)
    return tuple(_without_end(tokens))


def loose_content(text: str) -> Tokens:
    """The tokens that two texts must share, in order, before their meanings are compared."""
    tokens = list(strict_content(text))
    for opening in _ASKING:
        if len(tokens) > len(opening) + 1 and tuple(tokens[: len(opening)]) == opening:
            tokens = ["?", *tokens[len(opening) :]] if opening[0] == "what" else tokens
            if opening[0] in {"tell", "give", "show"}:
                tokens = [opening[0], *tokens[2:]]
            break
    kept = [
        token
        for token, following in zip(tokens, [*tokens[1:], ""], strict=True)
        if token not in _ARTICLES or following in _QUANTITIES
    ]
    return tuple(kept)


def _tokens(text: str) -> list[str]:
    """The words with whatever is written to them; "5kg" is "5 kg".

    A new line is content, with what indents the next one: it may be code. So are several spaces
    where something is quoted.
    """
    text = unicodedata.normalize("NFC", text).replace("\u2019", "'").replace("\r\n", "\n").strip()
    text = _CONTRACTION.sub(_expanded, text)
    quoted = not _QUOTES.isdisjoint(text)
    found: list[str] = []
    for word in _WORD.findall(text):
        if word[0] == "\n":
            found.append(word)
        elif word.isspace():
            if quoted and len(word) > 1:
                found.append(word)
        elif (amount := _AMOUNT.fullmatch(word)) is not None:
            found += [amount[1], amount[2] + amount[3]]
        else:
            found.append(word)
    return found


def _expanded(match: re.Match[str]) -> str:
    written = match[0]
    plain = _CONTRACTED[written.lower()]
    if written.isupper():
        return plain.upper()
    return plain[0].upper() + plain[1:] if written[0].isupper() else plain


def _folded(token: str) -> str:
    """A first word without its capital, where that is only because it is the first."""
    lower = token[:1].lower() + token[1:]
    return lower if lower.rstrip(",!?.") in _FOLDED else token


def _without_greeting(tokens: list[str]) -> list[str]:
    """Without a greeting that a request follows."""
    first = tokens[0]
    if first.rstrip(",!") in _GREETINGS and first != first.rstrip(",!") and len(tokens) > 1:
        following = _folded(tokens[1])
        if following in _OPENERS or following in {"can", "could", "would"}:
            return [following, *tokens[2:]]
    return tokens


def _without_politeness(tokens: list[str]) -> list[str]:
    """Without `please`, `could you please` and the like, where a request follows them."""
    rest = tokens
    for _ in range(2):
        for polite in _POLITE:
            size = len(polite)
            if len(rest) > size and tuple(rest[:size]) == polite:
                rest = [_folded(rest[size].rstrip(",")), *rest[size + 1 :]]
    if rest is not tokens and (rest[0] in _VERBS or (rest[0] in _QUESTIONS and len(rest) > 1)):
        return rest
    return tokens


def _without_end(tokens: list[str]) -> list[str]:
    """Without thanks, and the stop of a sentence whose kind its first word says already."""
    rest = list(tokens)
    asks = rest[0].rstrip("?!.") in _VERBS | _QUESTIONS
    if asks:
        rest = _without_thanks(rest)
    stops = ".?!" if asks else "."
    last = rest[-1]
    if len(rest) > 1 and last in tuple(stops):
        rest.pop()
    elif last[-1] in stops and _is_word(last[:-1]):
        rest[-1] = last[:-1]
    return rest


def _without_thanks(tokens: list[str]) -> list[str]:
    """Without `, please` or `, thanks` at the end; only behind a comma or a stop."""
    for ending in _ENDINGS:
        size = len(ending)
        if len(tokens) <= size or _plain(tokens[-size:]) != ending:
            continue
        before = tokens[-size - 1]
        if before[-1] in ",?!." and _is_word(before[:-1]):
            return [*tokens[: -size - 1], before[:-1]]
    return tokens


def _plain(tokens: list[str]) -> Tokens:
    return tuple(token.lower().rstrip(".!?") for token in tokens)


def _is_word(text: str) -> bool:
    """Whether a stop behind it is one; that behind a single letter may be an abbreviation's."""
    return text.isdigit() or (text.isalpha() and len(text) > 1)

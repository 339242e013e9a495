"""Pairs of questions: those that must never share an answer, and those that may.

The first are made of templates and words that change what is asked (negation, order, numbers,
dates, units, names, referents, quantities, grammar), and written by hand where a rule could be
clever and wrong. The second say the same in other words.
"""

from __future__ import annotations

from itertools import permutations

Pair = tuple[str, str]

_SUBJECTS = (
    "ibuprofen safe for dogs",
    "it legal to record a call in Ohio",
    "this mushroom edible",
    "the contract valid without a signature",
    "the meeting on Monday",
    "my account active",
    "the bridge open to trucks",
    "water on Mars",
)
_FRAMES = (
    "How many people live in {}?",
    "What is the capital of {}?",
    "Explain the economy of {}.",
    "Is {} in Europe?",
    "List the rivers of {}",
)
_NAMES = ("Georgia", "Jordan", "Turkey", "Chad", "Austria", "Australia", "Niger", "Nigeria")
_AMOUNTS = ("5", "50", "5.0", "0.5", "-5", "15", "5,000", "1/5", "5e3", "V", "five")
_UNITS = ("mg", "Mg", "g", "kg", "mcg", "ml", "MB", "Mb", "mb", "miles", "km", "%", "EUR", "USD")
_DATES = (
    "2023-01-02",
    "2023-02-01",
    "2024-01-02",
    "1 February 2023",
    "2 January 2023",
    "02/01/23",
    "01/02/23",
    "yesterday",
    "today",
    "tomorrow",
    "next Monday",
    "last Monday",
    "Monday",
)
_CURRENCIES = ("USD", "EUR", "GBP", "CHF", "JPY")
_REFERENTS = ("he", "she", "it", "they", "we", "you", "I", "this", "that", "these", "those", "one")
_PREPOSITIONS = ("with", "without", "before", "after", "over", "under", "to", "from", "in", "into")
_QUANTIFIERS = ("all", "some", "no", "most", "few", "a few", "many", "not all", "only", "any")
_MODALS = ("must", "may", "can", "should", "might", "must not", "may not", "cannot", "need not")
_COMPARISONS = ("more than", "less than", "at least", "at most", "exactly", "about", "up to")
_WORDS = ("What", "When", "Where", "Why", "Which", "How", "Who", "Whose")

_BY_HAND: tuple[Pair, ...] = (
    ("What is matter?", "What is the matter?"),
    ("I have few friends", "I have a few friends"),
    ("I have little time", "I have a little time"),
    ("Is it out of question?", "Is it out of the question?"),
    ("Who guidelines", "WHO guidelines"),
    ("Let's eat, grandma", "Let's eat grandma"),
    ("Polish the floor", "polish the Floor"),
    ("What did us say?", "What did US say?"),
    ("Should I resign?", "Should I re-sign?"),
    ("Is it an IT question?", "Is it an it question?"),
    ("You are coming.", "You are coming?"),
    ("C", "C++"),
    ("What is C#?", "What is C?"),
    ("What is .NET?", "What is NET?"),
    ("Explain x^2", "Explain x2"),
    ("Explain x\u00b2", "Explain x2"),
    ("What is 10^3?", "What is 103?"),
    ("Explain -5", "Explain 5"),
    ("What is 1,000?", "What is 1.000?"),
    ("What is 1,000?", "What is 1 000?"),
    ("What is 3.14?", "What is 314?"),
    ("Is Python > Java?", "Is Python < Java?"),
    ("What is a != b?", "What is a = b?"),
    ("Write a function that returns True", "Write a function that returns true"),
    ("What does 'a  b' give?", "What does 'a b' give?"),
    ("Explain:\nif x:\n    y()\nz()", "Explain:\nif x:\n    y()\n    z()"),
    ("Explain:\na\nb", "Explain:\na b"),
    ("Hello, world in C", "world in C"),
    ("Can you swim?", "swim"),
    ("Could you have come?", "have come?"),
    ("Please, explain nothing", "explain nothing, not"),
    ("How to please a cat", "How to a cat"),
    ("What is the plural of thanks?", "What is the plural of"),
    ("Translate: thank you", "Translate:"),
    ("Translate thanks", "Translate"),
    ("Translate, please", "Translate, thanks you"),
    ("Write hello, please", "Write hello please"),
    ("Translate 'please'", "Translate ''"),
    ("Tell me a story", "Tell me the story"),
    ("What is vitamin A?", "What is vitamin a?"),
    ("What is vitamin C?", "What is vitamin C minus?"),
    ("Is he the doctor's son?", "Is he the doctors' son?"),
    ("the boy's book", "the boys book"),
    ("Is it the U.S.?", "Is it the US?"),
    ("Explain cafe", "Explain caf\u00e9"),
    ("What is 'who's'?", "What is 'whose'?"),
    ("What is its size?", "What is it's size?"),
    ("How is May?", "How is may?"),
    ("Is Apple healthy?", "Is apple healthy?"),
    ("What is the march in March?", "What is the March in march?"),
    ("Describe the bug in line 10", "Describe the bug in line 10\n"[:-1] + "0"),
    ("What is 5 in 10?", "What is 10 in 5?"),
    ("Summarize the text: A beats B", "Summarize the text: B beats A"),
    ("Is it unsafe?", "Is it safe?"),
    ("Is it impossible?", "Is it possible?"),
    ("I can't recommend it", "I can recommend it"),
    ("Do I have to?", "Do I not have to?"),
    ("Don't explain it", "Do explain it"),
    ("Explain, don't list", "Explain, list"),
    ("Should not the door open?", "Should the door not open?"),
    ("Only I saw her", "I only saw her"),
    ("I saw her only", "I only saw her"),
    ("Everybody did not come", "Not everybody did come"),
    ("dog bites man", "man bites dog"),
    ("Explain why cats chase mice", "Explain why mice chase cats"),
    ("Convert from kg to lb", "Convert to kg from lb"),
    ("flights Paris to Rome", "flights Rome to Paris"),
    ("Is A a subset of B?", "Is B a subset of A?"),
    ("What is 'no'?", "What is no?"),
    ("Delete file a but keep b", "Delete file b but keep a"),
    ("He said she left", "She said he left"),
    ("the Great Gatsby", "the great Gatsby"),
    ("Is 7 pm ok?", "Is 7 am ok?"),
    ("What is 2:30?", "What is 23:0?"),
    ("How far is 5' 6\"?", "How far is 5\" 6'?"),
    ("Show me logs since 10:00", "Show me logs until 10:00"),
    ("increase by 5%", "increase to 5%"),
    ("What is log base 2 of 8?", "What is log base 8 of 2?"),
    ("Who is Will?", "Who is will?"),
    ("Name the rose", "name the Rose"),
    ("Find nemo", "Find Nemo"),
    ("What is \u20ac5?", "What is $5?"),
    ("What is 5\u00b0C?", "What is 5\u00b0F?"),
    ("Explain TLS 1.2", "Explain TLS 1.3"),
    ("Explain HTTP/1", "Explain HTTP/2"),
    ("Explain A/B tests", "Explain AB tests"),
    ("Who won in 1966", "Who won in 1996"),
    ("What happened to him?", "What happened to her?"),
    ("Is my order here?", "Is your order here?"),
    ("Which one is first?", "Which one is last?"),
    ("Explain the first law", "Explain the second law"),
    ("\u00bfPor qu\u00e9?", "\u00bfPorque?"),
    ("Explain \u5317\u4eac", "Explain \u6771\u4eac"),
    ("Is it now?", "Is it no w?"),
)


def _made() -> list[Pair]:
    pairs: list[Pair] = []
    for subject in _SUBJECTS:
        head, _, tail = subject.partition(" ")
        pairs += [
            (f"Is {subject}?", f"Is {head} not {tail}?"),
            (f"Is {subject}?", f"Isn't {subject}?"),
            (f"Is {subject}?", f"Is {subject} never?"),
            (f"Why is {subject}?", f"Why is not {subject}?"),
        ]
    for frame in _FRAMES:
        pairs += [(frame.format(a), frame.format(b)) for a, b in permutations(_NAMES, 2) if a < b]
    dose = "What if I take {} {} of it?"
    pairs += [
        (dose.format(a, "mg"), dose.format(b, "mg")) for a, b in permutations(_AMOUNTS, 2) if a < b
    ]
    pairs += [(dose.format(5, a), dose.format(5, b)) for a, b in permutations(_UNITS, 2) if a < b]
    for words, frame in (
        (_DATES, "What happened {}?"),
        (_REFERENTS, "What did {} say about the plan?"),
        (_PREPOSITIONS, "Can I drive {} it?"),
        (_QUANTIFIERS, "Are {} birds able to fly?"),
        (_MODALS, "Explain why we {} pay"),
        (_COMPARISONS, "Show orders of {} 5 items"),
        (_WORDS, "{} did Ada write?"),
    ):
        pairs += [(frame.format(a), frame.format(b)) for a, b in permutations(words, 2) if a < b]
    pairs += [
        (f"Convert 100 {a} to {b}", f"Convert 100 {b} to {a}")
        for a, b in permutations(_CURRENCIES, 2)
        if a < b
    ]
    return pairs


ADVERSARIAL: tuple[Pair, ...] = tuple(dict.fromkeys([*_BY_HAND, *_made()]))
"""Pairs that must never share an answer."""

_TOPICS = ("DNS", "the French Revolution", "how a heat pump works", "TCP and UDP", "5 kg in lb")


def _same() -> list[Pair]:
    pairs: list[Pair] = []
    for topic in _TOPICS:
        pairs += [
            (f"Explain {topic}.", f"explain {topic}"),
            (f"Explain {topic}", f"Please explain {topic}."),
            (f"Explain {topic}", f"Could you please explain {topic}?"),
            (f"Explain {topic}", f"Can you explain {topic}?"),
            (f"Explain {topic}", f"Hi, can you explain {topic}?"),
            (f"Explain {topic}", f"Explain {topic}, please."),
            (f"Explain {topic}", f"explain  {topic} "),
            (f"What is {topic}?", f"what's {topic}"),
            (f"What is {topic}?", f"What\u2019s {topic}?"),
            (f"What is {topic}?", f"Tell me what {topic} is"),
            (f"Explain {topic}", f"Give an explanation of {topic}"),
            (f"What is {topic}?", f"What is the {topic}?"),
        ]
    return [
        *pairs,
        ("How much is 5kg in lb?", "How much is 5 kg in lb?"),
        ("Why isn't it safe?", "why is not it safe"),
        ("What is the capital of France?", "What is capital of France?"),
        ("List the largest cities", "List largest cities"),
        ("Show me the plan", "Show the plan"),
        ("Who wrote Hamlet?", "Who is the author of Hamlet?"),
    ]


PARAPHRASES: tuple[Pair, ...] = tuple(_same())
"""Pairs that ask the same."""

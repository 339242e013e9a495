"""Servers that speak OpenAI's chat completions, and where each of them differs.

Which profile serves a call: the provider's name says it (`deepseek:deepseek-chat`), and for
`openai:` and `openai-compatible:` with a `base_url` its host does. A server that nobody knows gets
`COMPATIBLE`, which asks for little. For a server behind a name of your own, name its profile
(`vllm:…` with `base_url=`).

A table of data and not a class for each server: what differs is a handful of words, and what every
server may get wrong in its answers is survived for all of them alike (see `openai_assembly`).

Sources: the servers' own references, and what pydantic-ai and LiteLLM work around.
"""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

import msgspec

from understudy.actors.models.families import OPENAI_REASONING, OPENAI_WITHOUT_SCHEMAS, Family

Manner = Literal["json_schema", "grammar", "json_object", "words"]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of server.

    Attributes:
        name: the provider's name, before the colon of `provider:model`.
        base_url: where it usually is; None: nobody can know.
        key_variable: the environment variable that usually holds its key; None: it needs none.
        hosts: ends of host names, or `:port`, by which a `base_url` shows that it is this server.
        names: what it calls our fields, where that differs.
        families: which fields it or its models refuse.
        choices: the words for `tool_choice` that it understands; `none` is said to others by
            offering no tools, `required` cannot be.
        output: how it is told the shape of an answer. `json_schema`: it enforces the schema, and
            tells the model. `grammar`: it enforces the schema and tells nobody, so it is said in
            words too; and since a grammar leaves no room for calls, in words alone beside tools.
            `json_object`: it promises JSON, the rest is said in words. `words`: only they work.
        strict: it enforces the schemas of tools.
        many_systems: it takes more than one system message.
        stream_usage: it wants to be asked for the usage of a stream (`stream_options`).
        echo: the field in which thoughts are sent back with the calls they led to; empty: never.
        deployments: Azure's addresses (`/openai/deployments/{model}/…`) and its key header.
    """

    name: str
    base_url: str | None = None
    key_variable: str | None = None
    hosts: tuple[str, ...] = ()
    names: dict[str, str] = {}
    families: tuple[Family, ...] = ()
    choices: tuple[str, ...] = ("auto", "required", "none")
    output: Manner = "json_schema"
    strict: bool = False
    many_systems: bool = True
    stream_usage: bool = True
    echo: str = ""
    deployments: bool = False


def _refusing(name: str, *fields: str, models: str = "") -> tuple[Family, ...]:
    return (Family(name=name, rejects=frozenset(fields), models=models),)


OPENAI = Profile(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_variable="OPENAI_API_KEY",
    hosts=("api.openai.com",),
    names={"max_tokens": "max_completion_tokens"},
    families=(OPENAI_REASONING, OPENAI_WITHOUT_SCHEMAS),
    strict=True,
)
COMPATIBLE = Profile(name="openai-compatible", many_systems=False, output="grammar")

NAMED = (
    Profile(
        name="azure",
        key_variable="AZURE_OPENAI_API_KEY",
        hosts=(".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"),
        names={"max_tokens": "max_completion_tokens"},
        families=(OPENAI_REASONING, OPENAI_WITHOUT_SCHEMAS),
        strict=True,
        deployments=True,
    ),
    Profile(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_variable="OPENROUTER_API_KEY",
        hosts=("openrouter.ai",),
        strict=True,
        echo="reasoning",
    ),
    Profile(
        name="deepseek",
        base_url="https://api.deepseek.com/v1",
        key_variable="DEEPSEEK_API_KEY",
        hosts=("api.deepseek.com",),
        families=_refusing("DeepSeek", "seed", "parallel_tool_calls"),
        output="json_object",
        echo="reasoning_content",
    ),
    Profile(
        name="moonshot",
        base_url="https://api.moonshot.ai/v1",
        key_variable="MOONSHOT_API_KEY",
        hosts=("api.moonshot.ai", "api.moonshot.cn"),
        choices=("auto", "none"),
        output="json_object",
        echo="reasoning_content",
    ),
    Profile(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        key_variable="MISTRAL_API_KEY",
        hosts=("api.mistral.ai",),
        names={"seed": "random_seed"},
        stream_usage=False,  # an unknown field is a 422, and the usage comes unasked
        strict=True,
    ),
    Profile(
        name="groq",
        base_url="https://api.groq.com/openai/v1",
        key_variable="GROQ_API_KEY",
        hosts=("api.groq.com",),
        names={"max_tokens": "max_completion_tokens"},
        families=_refusing("Groq", "logprobs", "logit_bias", "top_logprobs"),
        output="words",  # few models take a schema, and none of them beside tools
    ),
    Profile(
        name="together",
        base_url="https://api.together.xyz/v1",
        key_variable="TOGETHER_API_KEY",
        hosts=("api.together.xyz", "api.together.ai"),
    ),
    Profile(
        name="fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_variable="FIREWORKS_API_KEY",
        hosts=("api.fireworks.ai",),
    ),
    Profile(
        name="xai",
        base_url="https://api.x.ai/v1",
        key_variable="XAI_API_KEY",
        hosts=("api.x.ai",),
        names={"max_tokens": "max_completion_tokens"},
        families=_refusing(
            "xAI's reasoning models",
            "stop",
            "presence_penalty",
            "frequency_penalty",
            models=r"grok-(?:[4-9]|3-mini|code)(?!.*non-reasoning)",
        ),
        strict=True,
    ),
    Profile(
        name="cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_variable="CEREBRAS_API_KEY",
        hosts=("api.cerebras.ai",),
        names={"max_tokens": "max_completion_tokens"},
        families=_refusing("Cerebras", "presence_penalty", "frequency_penalty", "logit_bias"),
        strict=True,
    ),
    Profile(name="vllm", base_url="http://localhost:8000/v1", many_systems=False, output="grammar"),
    Profile(
        name="lmstudio", base_url="http://localhost:1234/v1", hosts=(":1234",), output="grammar"
    ),
    Profile(
        name="llamacpp", base_url="http://localhost:8080/v1", many_systems=False, output="grammar"
    ),
    Profile(
        name="ollama-openai",
        base_url="http://localhost:11434/v1",
        hosts=(":11434",),
        choices=("auto",),
        output="grammar",
    ),
)


def profile_for(profile: Profile, base_url: str | None) -> Profile:
    """The same profile, or that of the server which the host of `base_url` gives away.

    Only `OPENAI` and `COMPATIBLE` are replaced, and what comes keeps their name; a profile that
    was named is meant.
    """
    if base_url is None or profile not in (OPENAI, COMPATIBLE):
        return profile
    parts = urlsplit(base_url)
    where = f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""
    for known in (OPENAI, *NAMED):
        if any(
            where.endswith(host) or (parts.hostname or "").endswith(host) for host in known.hosts
        ):
            return msgspec.structs.replace(
                known, name=profile.name, key_variable=profile.key_variable
            )
    return profile

"""Agents with settings that have proved themselves: `presets.chat("openai:gpt-5-mini")`.

Three starting points, each a plain `Agent`: every setting can be given otherwise in the call, or
changed with `with_`. The values are those of the performance guide of AgenticGoKit vNext, whose
presets these continue; beside each stands the section and the line that it is from. What the guide
does not say is as for any other agent.

How a stream is buffered is no setting of an agent: `agent.stream(prompt, buffer="chat")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.runtime.agent import Agent

if TYPE_CHECKING:
    from typing import Unpack

    from understudy.messages.agents import AgentOptions, Model

CHAT: dict[str, Any] = {  # Any: fields of an agent
    "temperature": 0.7,  # Temperature Settings, line 394: "0.7-0.9: Standard performance"
    "max_tokens": 1000,  # Limiting Context Size, line 103
    "history_limit": 10,  # Limiting Context Size, line 104: "Keep last 10 messages"
    "context_window": 4000,  # Limiting Context Size, line 105: "Trim to 4K tokens"
}
RESEARCH: dict[str, Any] = {  # Any: fields of an agent
    "temperature": 0.0,  # Temperature Settings, line 383: "Deterministic (faster, consistent)"
    "max_tokens": 2000,  # Token Limits, line 406: "Detailed response"
    "tool_timeout": 60.0,  # Timeout Configuration, line 447: "Slow tools (e.g., web scraping)"
}
DATA: dict[str, Any] = {  # Any: fields of an agent
    "temperature": 0.0,  # Temperature Settings, line 383: "Deterministic (faster, consistent)"
    "max_tokens": 1000,  # Limiting Context Size, line 103
    "tool_timeout": 5.0,  # Timeout Configuration, line 442: "Fast tools"
    "rate_limit": 10.0,  # Rate Limiting, line 219: "10 requests/second"
    "max_concurrent": 5,  # Rate Limiting, line 220: "Max 5 concurrent requests"
}


def chat(model: Model = None, **changes: Unpack[AgentOptions]) -> Agent[str]:
    """For conversations: lively, not long; the last 10 messages, 4,000 tokens in all."""
    return _made(model, CHAT, changes)


def research(model: Model = None, **changes: Unpack[AgentOptions]) -> Agent[str]:
    """For finding out: consistent, with room for details and time for slow tools."""
    return _made(model, RESEARCH, changes)


def data(model: Model = None, **changes: Unpack[AgentOptions]) -> Agent[str]:
    """For extracting and converting in bulk: consistent, and gentle with the provider.

    At most 10 runs a second and 5 at a time, over all agents with these settings (or of one
    `name=`) in a runtime. `presets.data(...).with_(output=list[Row])` gives rows.
    """
    return _made(model, DATA, changes)


def _made(model: Model, settings: dict[str, Any], changes: Any) -> Agent[str]:  # Any: fields
    return Agent(model).with_(**{**settings, **changes})

"""understudy: an actor-model runtime for LLM agents.

Everything that users type is importable from here; see the README for a first example. Names are
loaded when they are first used: `import understudy` alone costs a program next to nothing (asyncio
by itself takes longer to import).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.actors.kernel.actor import Actor
    from understudy.actors.kernel.gathering import gather
    from understudy.actors.kernel.options import ChildSpec, MailboxOptions, child
    from understudy.actors.kernel.ref import Ref
    from understudy.actors.kernel.reply import Reply
    from understudy.messages.agents import AgentSpec, AgentTool, Pending, Result, Resume, ToolRecord
    from understudy.messages.budgets import Budget, Price, Spent
    from understudy.messages.caches import Cached, CacheStats
    from understudy.messages.chat import (
        AssistantMessage,
        Message,
        SystemMessage,
        ToolCall,
        ToolMessage,
        Usage,
        UserMessage,
    )
    from understudy.messages.chunks import (
        AgentFinished,
        AgentStarted,
        Metadata,
        StepFinished,
        StepStarted,
        StreamEnd,
        StreamFailed,
        TextDelta,
        ThoughtDelta,
        ToolCallFinished,
        ToolCallStarted,
    )
    from understudy.messages.conditions import (
        all_of,
        any_of,
        converged,
        not_,
        output_contains,
        output_matches,
        tokens_over,
    )
    from understudy.messages.control import (
        Directive,
        Health,
        Ledger,
        MailboxStats,
        Outcome,
        Reloaded,
        ShutdownReport,
        Terminated,
    )
    from understudy.messages.errors import (
        ActorDeadError,
        ActorRestartedError,
        AuthenticationError,
        BadRequestError,
        BreakerOpenError,
        BudgetExceededError,
        CodecError,
        ConfigError,
        ConnectError,
        ContentFilterError,
        ContextWindowError,
        DeadlineExceededError,
        DeadlockError,
        HookError,
        MailboxFullError,
        ModelError,
        OutputError,
        OverloadedError,
        RateLimitError,
        ResponseError,
        RunCancelledError,
        RuntimeStoppedError,
        ServerError,
        StorageError,
        StreamBrokenError,
        StreamError,
        ToolError,
        TurnsExceededError,
        UnderstudyError,
        WorkflowComplete,
        WorkflowError,
        WouldDeadlockError,
    )
    from understudy.messages.events import (
        ActorFailed,
        ActorParked,
        ActorRestarted,
        DeadLettered,
        Event,
        ReaderLagged,
        RunFinished,
        RunStarted,
        StepCompleted,
        StepDispatched,
        StepFailed,
        StepRetried,
        StreamIdled,
    )
    from understudy.messages.hooks import Hooks
    from understudy.messages.limits import Limit, LimiterStats
    from understudy.messages.memories import (
        Document,
        Erased,
        Ingested,
        MemorySpec,
        MemoryStats,
        Passage,
        RagOptions,
        Trimmed,
    )
    from understudy.messages.models import Complete, Completion
    from understudy.messages.secrets import Secret
    from understudy.messages.streams import StreamOptions, StreamStats
    from understudy.messages.tools import ToolResult
    from understudy.messages.workflows import (
        Choice,
        PoolRef,
        StepRecord,
        StepSpec,
        WorkflowResult,
        WorkflowSpec,
    )
    from understudy.runtime.agent import Agent
    from understudy.runtime.cache import Cache
    from understudy.runtime.memory import Memory
    from understudy.runtime.outlets import collect_stream, sse_events, stream_to_queue
    from understudy.runtime.reading import StreamReader
    from understudy.runtime.run_context import RunContext
    from understudy.runtime.runs import Run
    from understudy.runtime.runtime import Runtime
    from understudy.runtime.serving.logs import JsonLines, RunIds
    from understudy.runtime.stream import Stream
    from understudy.runtime.tool import arun_tools, run_tools, tool
    from understudy.runtime.toolset import Toolset
    from understudy.runtime.workflow import Workflow, choose, step

__version__ = "0.1.0"

__all__ = [
    "Actor",
    "ActorDeadError",
    "ActorFailed",
    "ActorParked",
    "ActorRestarted",
    "ActorRestartedError",
    "Agent",
    "AgentFinished",
    "AgentSpec",
    "AgentStarted",
    "AgentTool",
    "AssistantMessage",
    "AuthenticationError",
    "BadRequestError",
    "BreakerOpenError",
    "Budget",
    "BudgetExceededError",
    "Cache",
    "CacheStats",
    "Cached",
    "ChildSpec",
    "Choice",
    "CodecError",
    "Complete",
    "Completion",
    "ConfigError",
    "ConnectError",
    "ContentFilterError",
    "ContextWindowError",
    "DeadLettered",
    "DeadlineExceededError",
    "DeadlockError",
    "Directive",
    "Document",
    "Erased",
    "Event",
    "Health",
    "HookError",
    "Hooks",
    "Ingested",
    "JsonLines",
    "Ledger",
    "Limit",
    "LimiterStats",
    "MailboxFullError",
    "MailboxOptions",
    "MailboxStats",
    "Memory",
    "MemorySpec",
    "MemoryStats",
    "Message",
    "Metadata",
    "ModelError",
    "Outcome",
    "OutputError",
    "OverloadedError",
    "Passage",
    "Pending",
    "PoolRef",
    "Price",
    "RagOptions",
    "RateLimitError",
    "ReaderLagged",
    "Ref",
    "Reloaded",
    "Reply",
    "ResponseError",
    "Result",
    "Resume",
    "Run",
    "RunCancelledError",
    "RunContext",
    "RunFinished",
    "RunIds",
    "RunStarted",
    "Runtime",
    "RuntimeStoppedError",
    "Secret",
    "ServerError",
    "ShutdownReport",
    "Spent",
    "StepCompleted",
    "StepDispatched",
    "StepFailed",
    "StepFinished",
    "StepRecord",
    "StepRetried",
    "StepSpec",
    "StepStarted",
    "StorageError",
    "Stream",
    "StreamBrokenError",
    "StreamEnd",
    "StreamError",
    "StreamFailed",
    "StreamIdled",
    "StreamOptions",
    "StreamReader",
    "StreamStats",
    "SystemMessage",
    "Terminated",
    "TextDelta",
    "ThoughtDelta",
    "ToolCall",
    "ToolCallFinished",
    "ToolCallStarted",
    "ToolError",
    "ToolMessage",
    "ToolRecord",
    "ToolResult",
    "Toolset",
    "Trimmed",
    "TurnsExceededError",
    "UnderstudyError",
    "Usage",
    "UserMessage",
    "Workflow",
    "WorkflowComplete",
    "WorkflowError",
    "WorkflowResult",
    "WorkflowSpec",
    "WouldDeadlockError",
    "all_of",
    "any_of",
    "arun_tools",
    "child",
    "choose",
    "collect_stream",
    "converged",
    "gather",
    "not_",
    "output_contains",
    "output_matches",
    "run_tools",
    "sse_events",
    "step",
    "stream_to_queue",
    "tokens_over",
    "tool",
]

_HOMES = {
    "messages.models": "Completion Complete",
    "messages.memories": (
        "Document Erased Ingested MemorySpec MemoryStats Passage RagOptions Trimmed"
    ),
    "messages.hooks": "Hooks",
    "messages.budgets": "Spent Price Budget",
    "actors.kernel.actor": "Actor",
    "actors.kernel.options": "ChildSpec MailboxOptions child",
    "actors.kernel.ref": "Ref",
    "actors.kernel.gathering": "gather",
    "actors.kernel.reply": "Reply",
    "messages.agents": "ToolRecord Resume Pending AgentTool AgentSpec Result",
    "messages.caches": "CacheStats Cached",
    "messages.chat": (
        "AssistantMessage Message SystemMessage ToolCall ToolMessage Usage UserMessage"
    ),
    "messages.chunks": (
        "AgentFinished AgentStarted Metadata StepFinished StepStarted StreamEnd StreamFailed "
        "TextDelta ThoughtDelta ToolCallFinished ToolCallStarted"
    ),
    "messages.conditions": (
        "all_of any_of converged not_ output_contains output_matches tokens_over"
    ),
    "messages.control": (
        "Directive Health Ledger MailboxStats Outcome Reloaded ShutdownReport Terminated"
    ),
    "messages.errors": (
        "TurnsExceededError HookError ActorDeadError ActorRestartedError AuthenticationError "
        "BadRequestError BreakerOpenError BudgetExceededError CodecError ConfigError "
        "ConnectError ContentFilterError ContextWindowError DeadlineExceededError "
        "DeadlockError MailboxFullError ModelError OutputError OverloadedError RateLimitError "
        "ResponseError RunCancelledError RuntimeStoppedError ServerError StorageError "
        "StreamBrokenError StreamError ToolError UnderstudyError WorkflowComplete "
        "WorkflowError WouldDeadlockError"
    ),
    "messages.events": (
        "ActorFailed ActorParked ActorRestarted DeadLettered Event ReaderLagged RunFinished "
        "RunStarted StepCompleted StepDispatched StepFailed StepRetried StreamIdled"
    ),
    "messages.limits": "Limit LimiterStats",
    "messages.secrets": "Secret",
    "messages.tools": "ToolResult",
    "messages.streams": "StreamOptions StreamStats",
    "messages.workflows": "Choice PoolRef StepRecord StepSpec WorkflowResult WorkflowSpec",
    "runtime.agent": "Agent",
    "runtime.cache": "Cache",
    "runtime.memory": "Memory",
    "runtime.outlets": "collect_stream sse_events stream_to_queue",
    "runtime.reading": "StreamReader",
    "runtime.run_context": "RunContext",
    "runtime.runs": "Run",
    "runtime.runtime": "Runtime",
    "runtime.serving.logs": "JsonLines RunIds",
    "runtime.stream": "Stream",
    "runtime.tool": "arun_tools run_tools tool",
    "runtime.toolset": "Toolset",
    "runtime.workflow": "Workflow choose step",
}
"""Where names live: they are loaded from there when they are first used."""
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:  # Any: whatever is exported under that name
    home = _HOME.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

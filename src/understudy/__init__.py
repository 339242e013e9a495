"""understudy: an actor-model runtime for LLM agents.

Everything that users type is importable from here; see the README for a first example.
"""

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import ChildSpec, MailboxOptions, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply, join
from understudy.messages.agents import AgentSpec, Result
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
    StreamEnd,
    StreamFailed,
    TextDelta,
)
from understudy.messages.control import (
    Directive,
    Ledger,
    MailboxStats,
    Outcome,
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
    MailboxFullError,
    ModelError,
    OutputError,
    OverloadedError,
    RateLimitError,
    ResponseError,
    RunCancelledError,
    RuntimeStoppedError,
    ServerError,
    StreamBrokenError,
    StreamError,
    ToolError,
    UnderstudyError,
    WorkflowError,
    WouldDeadlockError,
)
from understudy.messages.events import (
    ActorFailed,
    ActorParked,
    ActorRestarted,
    DeadLettered,
    Event,
    RunFinished,
    RunStarted,
    StepCompleted,
    StepDispatched,
    StepFailed,
)
from understudy.messages.secrets import Secret
from understudy.messages.workflows import StepRecord, StepSpec, WorkflowResult, WorkflowSpec
from understudy.runtime.agent import Agent
from understudy.runtime.run_context import RunContext
from understudy.runtime.runs import Run
from understudy.runtime.runtime import Runtime
from understudy.runtime.stream import Stream
from understudy.runtime.workflow import Workflow, step

__version__ = "0.1.0"


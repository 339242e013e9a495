"""understudy: an actor-model runtime for LLM agents."""

__version__ = "0.1.0"

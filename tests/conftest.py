"""Fixtures that every test may ask for."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone: the loop dispatcher is built on it."""
    return "asyncio"

"""Fixtures that every test may ask for, and how hypothesis runs."""

import pytest
from hypothesis import settings

# Built on the profile in force, so that a CI run stays deterministic. A deadline for one example
# would be an assertion about the wall clock of a machine that does other things too.
settings.register_profile("house", settings.default, deadline=None)
settings.load_profile("house")


@pytest.fixture
def anyio_backend() -> str:
    """Async tests run on asyncio alone: the loop dispatcher is built on it."""
    return "asyncio"

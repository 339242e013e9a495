import subprocess
import sys
import textwrap

import pytest


def output_of(script: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()


HEAVY = (
    "httpx",
    "httpcore",
    "h11",
    "httptools",
    "uvloop",
    "click",
    "rich",
    "cachetools",
    "pytest",
    "asyncio",
)


def test_importing_the_package_starts_and_loads_nothing() -> None:
    """`import understudy` starts no thread and loads nothing heavy, nor the testing kit."""
    script = f"""
        import sys, threading
        import understudy
        dir(understudy)
        found = [name for name in {HEAVY!r} if name in sys.modules]
        found += [name for name in sys.modules if name.startswith("understudy.testing")]
        print(found, threading.active_count())
    """
    assert output_of(script) == "[] 1"


def test_everything_can_be_imported_without_extras() -> None:
    """All names of the facade together still load no HTTP client, no extra and no testing kit."""
    script = f"""
        import sys, threading
        import understudy
        for name in understudy.__all__:
            getattr(understudy, name)
        found = [name for name in {HEAVY[:-1]!r} if name in sys.modules]
        found += [name for name in sys.modules if name.startswith("understudy.testing")]
        print(found, threading.active_count())
    """
    assert output_of(script) == "[] 1"


def test_a_runtime_without_providers_needs_no_http() -> None:
    """A run with a model of this process never imports httpx; a provider's does."""
    script = """
        import sys
        from understudy import Agent, Runtime
        from understudy.testing import FakeModel
        with Runtime() as rt:
            rt.run(Agent(FakeModel.echo()), "x")
            rt.run(Agent("local:extractive"), "One sentence. Another sentence. A third one.")
            before = "httpx" in sys.modules
            try:
                rt.run(Agent("openai-compatible:m", base_url="http://127.0.0.1:9/v1"), "x")
            except Exception as error:
                print(type(error).__name__, before, "httpx" in sys.modules)
    """
    assert output_of(script) == "ConnectError False True"


@pytest.mark.parametrize("name", ["understudy", "understudy.testing"])
def test_a_name_that_does_not_exist_is_an_attribute_error(name: str) -> None:
    """The lazy facades answer like modules."""
    script = f"""
        import {name} as module
        try:
            module.Nothing
        except AttributeError as error:
            print(error)
        print(sorted(dir(module)) == dir(module) or bool(dir(module)))
    """
    assert output_of(script).splitlines() == [f"module '{name}' has no attribute 'Nothing'", "True"]

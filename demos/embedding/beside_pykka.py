"""Next to actors of plain pykka: refs, messages and futures go both ways.

A program with `pykka.ThreadingActor`s keeps them. They get our refs as they get their own (`tell`,
`ask`, futures with `.get`), and ours get theirs. What stays apart is the registry:
`pykka.ActorRegistry.stop_all` ends pykka's actors and none of ours.
"""

import pykka

from understudy import Actor, Agent, Ref, Runtime, child

AGENT = Agent("local:extractive", max_tokens=30)


class Archive(pykka.ThreadingActor):
    """Theirs: keeps what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: list[str] = []

    def on_receive(self, message: str) -> int:
        """Keep it; how many there are."""
        self._kept.append(message)
        return len(self._kept)


class Digester(Actor):
    """Ours: digests, and tells theirs."""

    def __init__(self, archive: pykka.ActorRef[Archive]) -> None:
        self._archive = archive

    async def on_receive(self, message: str) -> str:
        """Digest a text and have the result kept."""
        result = await AGENT.arun(message)
        self._archive.tell(result.output)
        return str(result.output)


class Caller(pykka.ThreadingActor):
    """Theirs: asks ours."""

    def __init__(self, digester: Ref[Digester]) -> None:
        super().__init__()
        self._digester = digester

    def on_receive(self, message: str) -> object:
        """Ask, and block this thread for the answer."""
        return self._digester.ask(message)


def main() -> None:
    """Theirs asks ours, which tells theirs."""
    archive = Archive.start()
    with Runtime() as rt:
        digester = rt.spawn(child(Digester, archive), name="digester")
        caller = Caller.start(digester)
        print(caller.ask("Actors are old. They are still good."))
        print(archive.ask("one more"), "kept")
        futures = [digester.ask(text, block=False) for text in ("One. Two.", "Three. Four.")]
        print(pykka.get_all(futures))
        pykka.ActorRegistry.stop_all()
        print("ours lives on:", digester.is_alive())


main()

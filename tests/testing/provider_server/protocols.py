"""The shortest request of each protocol, and a client that sends it."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from understudy.testing.provider_server import ProviderServer

SAID = [{"role": "user", "content": "one two"}]
CHATS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": SAID},
    "/v1/responses": {"input": "one two"},
    "/v1/messages": {"messages": SAID, "max_tokens": 100_000},
    "/api/chat": {"messages": SAID},
}


class Client:
    """One connection of the standard library's client."""

    def __init__(self, server: ProviderServer) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)

    def send(self, path: str, **fields: Any) -> tuple[int, bytes]:
        """Status and body."""
        body = {"model": "m", "stream": False, **CHATS.get(path, {}), **fields}
        self.connection.request("POST", path, json.dumps(body))
        response = self.connection.getresponse()
        return response.status, response.read()

    def json(self, path: str, **fields: Any) -> Any:
        """The decoded body."""
        return json.loads(self.send(path, **fields)[1])

    def events(self, path: str, **fields: Any) -> list[Any]:
        """The events of a stream; each says its own name twice."""
        found = []
        for part in self.send(path, stream=True, **fields)[1].decode().split("\n\n")[:-1]:
            name, _, data = part.rpartition("\n")
            found.append(json.loads(data.removeprefix("data: ")))
            assert name == f"event: {found[-1]['type']}"
        return found

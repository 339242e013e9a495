"""Chat completions by the standard library's client."""

import http.client
import json
from typing import Any, ClassVar
from urllib.parse import urlsplit

from understudy.testing.provider_server import ProviderServer

Asked = dict[str, Any]


def asked(*contents: str, **fields: Any) -> Asked:
    """A request with these user messages."""
    messages = [{"role": "user", "content": content} for content in contents]
    return {"model": "m", "messages": messages} | fields


class Client:
    """One connection of the standard library's client, which shares no code with ours."""

    made: ClassVar[list["Client"]] = []

    def __init__(self, server: ProviderServer) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=10)
        self.responses: list[http.client.HTTPResponse] = []
        self.made.append(self)

    def post(
        self, body: Asked | bytes, path: str = "/v1/chat/completions", **headers: str
    ) -> http.client.HTTPResponse:
        """Send a request; gives the answer with its body unread."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request("POST", path, data, headers)
        self.responses.append(self.connection.getresponse())
        return self.responses[-1]

    def close(self) -> None:
        """Close the socket, which an unread answer holds too."""
        for response in self.responses:
            response.close()
        self.connection.close()

    def get(self, path: str) -> Any:
        """Fetch JSON."""
        self.connection.request("GET", path)
        return json.loads(self.connection.getresponse().read())

    def chat(self, body: Asked) -> Any:
        """The decoded answer to a request."""
        return json.loads(self.post(body).read())

    def text(self, *contents: str, **fields: Any) -> Any:
        """The text of the answer."""
        return self.chat(asked(*contents, **fields))["choices"][0]["message"]["content"]

    def events(self, body: Asked) -> list[Any]:
        """The events of a streamed answer, decoded; the end marker as it is."""
        response = self.post(body | {"stream": True})
        assert response.headers["content-type"] == "text/event-stream"
        parts = response.read().decode().split("\n\n")
        assert parts.pop() == ""
        data = [part.removeprefix("data: ") for part in parts]
        return [item if item == "[DONE]" else json.loads(item) for item in data]

"""Log in and print every frame of one's notifications, one JSON object a line: ``listen.py BASE_URL EMAIL PASSWORD``.

It needs nothing but the packages that the server itself runs on, and is meant to be read: docs/protocol.md says what a
client that lives longer does in addition (remember the position, connect again, resume).
"""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import websocket_connect


async def listen(base_url: str, email: str, password: str) -> None:
    """Print frames until the server closes the connection or the reader of the output goes away."""
    log_in = HTTPRequest(
        f"{base_url}/api/v1/accounts/auth/login/",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"email": email, "password": password}),
    )
    answer = await AsyncHTTPClient().fetch(log_in)
    token = json.loads(answer.body)["access"]
    door = f"{base_url.replace('http', 'ws', 1)}/ws/notifications/?token={token}"
    socket = await websocket_connect(door)
    while isinstance(frame := await socket.read_message(), str):
        sys.stdout.write(f"{frame}\n")
        sys.stdout.flush()
    sys.stderr.write(f"closed by the server, code {socket.close_code}\n")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    try:
        asyncio.run(listen(*sys.argv[1:]))
    except (OSError, HTTPClientError) as refused:
        sys.exit(f"No connection: {refused}")
    except KeyboardInterrupt:
        sys.exit(0)

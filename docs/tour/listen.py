"""Log in, open a socket, print every frame as a line: ``listen.py BASE_URL EMAIL PASSWORD [PATH [FRAME_TYPE ...]]``.

PATH is ``/ws/notifications/`` unless told otherwise; a frame of each FRAME_TYPE is sent after the greeting. It needs
nothing but the packages that the server itself runs on, and is meant to be read: docs/protocol.md says what a client
that lives longer does in addition (remember the position, connect again, resume).
"""

from __future__ import annotations

import asyncio
import json
import sys

from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest
from tornado.websocket import WebSocketClientConnection, websocket_connect


async def connect(base_url: str, email: str, password: str, path: str) -> WebSocketClientConnection:
    """Log in and open the socket. Raises HTTPClientError or OSError."""
    log_in = HTTPRequest(
        f"{base_url}/api/v1/accounts/auth/login/",
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps({"email": email, "password": password}),
    )
    answer = await AsyncHTTPClient().fetch(log_in)
    token = json.loads(answer.body)["access"]
    return await websocket_connect(f"{base_url.replace('http', 'ws', 1)}{path}?token={token}")


async def listen(base_url: str, email: str, password: str, path: str = "/ws/notifications/", *types: str) -> None:
    """Print frames until the server closes the connection or the reader of the output goes away."""
    socket = await connect(base_url, email, password, path)
    to_send = list(types)
    while isinstance(frame := await socket.read_message(), str):
        sys.stdout.write(f"{frame}\n")
        sys.stdout.flush()
        while to_send:
            await socket.write_message(json.dumps({"type": to_send.pop(0), "data": {}}))
    sys.stderr.write(f"closed by the server, code {socket.close_code}\n")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    try:
        asyncio.run(listen(*sys.argv[1:]))
    except (OSError, HTTPClientError) as refused:
        sys.exit(f"No connection: {refused}")
    except KeyboardInterrupt:
        sys.exit(0)

"""Ask the tutor and print its answer as it comes: ``ask.py BASE_URL EMAIL PASSWORD CONVERSATION_ID QUESTION``.

The last line says how the answer ended. A client that lives longer remembers offset and epoch of the last token, and
connects again with them: docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import json
import sys

from listen import connect
from tornado.httpclient import HTTPClientError


async def ask(base_url: str, email: str, password: str, conversation_id: str, question: str) -> None:
    """Print the tokens of the answer until it has ended."""
    socket = await connect(base_url, email, password, f"/ws/ai/{conversation_id}/")
    await socket.write_message(json.dumps({"type": "ask", "id": "tour-1", "message": question}))
    while isinstance(message := await socket.read_message(), str):
        frame = json.loads(message)
        if frame["type"] == "token":
            sys.stdout.write(frame["data"]["text"])
            sys.stdout.flush()
        elif frame["type"] in ("done", "interrupted", "error"):
            sys.stdout.write(f"\n{frame['type']}\n")
            break
    socket.close()


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    try:
        asyncio.run(ask(*sys.argv[1:]))
    except (OSError, HTTPClientError) as refused:
        sys.exit(f"No connection: {refused}")
    except KeyboardInterrupt:
        sys.exit(0)

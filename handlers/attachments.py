"""Answers that a browser keeps as a file."""

from __future__ import annotations

from edurise.files import naming
from handlers.base import RestHandler


class AttachingHandler(RestHandler):
    """Answers with a small file that was made for this request."""

    def reply_file(self, content: bytes, name: str, media_type: str) -> None:
        """Answer with a file that is one's own, and that nobody on the way keeps."""
        self.set_header("Content-Type", media_type)
        self.set_header("Content-Disposition", naming.disposition("attachment", name))
        self.set_header("Cache-Control", "no-store")
        self.sent_bytes = len(content)
        self.finish(content)

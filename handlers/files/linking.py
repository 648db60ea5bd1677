"""The base of handlers whose answers hold links to files."""

from __future__ import annotations

from edurise.files.links import Links
from handlers.base import RestHandler
from handlers.callers import public_base


class LinkingHandler(RestHandler):
    """Knows where links lead."""

    @property
    def links(self) -> Links:
        """Links to this installation, and to what stands before it for public files."""
        base = public_base(self.request, self.c.settings)
        return Links(self.c.link_signer, base, self.c.settings.cdn_url or base)

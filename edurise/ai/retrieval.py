"""What a course says about a question: passages of its published lessons, by full-text search in the database."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from edurise.ai import prompting
from edurise.ai.ports import Passage

MOST_PASSAGES = 5
LONGEST_PASSAGE = 1_500
"""Characters of one passage."""
LONGEST_NAME = 200
"""Characters of the title of a lesson, a module or a course."""
# The organization is the one entered: the function asks for it itself.
_SEARCH = "SELECT lesson_id, lesson, module, passage FROM search_lessons(%s, %s, %s)"


def passages(session: Session, course_id: UUID, question: str) -> tuple[Passage, ...]:
    """The lessons of a course that say most about a question, best first; none where nothing matches.

    Lessons of modules that are not published, of other courses and of other organizations are never found.
    """
    found = session.connection().exec_driver_sql(_SEARCH, (str(course_id), question, MOST_PASSAGES)).all()
    read = [
        Passage(
            lesson_id=lesson_id,
            lesson=name(lesson),
            module=name(module),
            text=prompting.cut(prompting.plain(passage), LONGEST_PASSAGE),
        )
        for lesson_id, lesson, module, passage in found
    ]
    return tuple(one for one in read if one.text)


def name(title: str) -> str:
    """A title as it is quoted: plain and short."""
    return prompting.cut(prompting.plain(title), LONGEST_NAME)

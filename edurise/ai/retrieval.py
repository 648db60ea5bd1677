"""What a course says about a question: passages of its published lessons, by full-text search in the database."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from edurise.ai import prompting
from edurise.ai.ports import Passage

MOST_PASSAGES = 5
LONGEST_PASSAGE = 1_500
"""Characters of one passage."""
_LONGEST_NAME = 200
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
            lesson=prompting.cut(prompting.plain(lesson), _LONGEST_NAME),
            module=prompting.cut(prompting.plain(module), _LONGEST_NAME),
            text=prompting.cut(prompting.plain(passage), LONGEST_PASSAGE),
        )
        for lesson_id, lesson, module, passage in found
    ]
    return tuple(one for one in read if one.text)

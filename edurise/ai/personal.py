"""The personal data of the tutor: what somebody asked and was answered. It is theirs alone, and goes with them."""

from __future__ import annotations

from edurise.ai.models import Conversation, Question, StoredMessage
from edurise.personal import Fate, PersonalTable, declare, deleting, exporting

SECTION = "ai"

declare(
    PersonalTable(
        section=SECTION,
        table="ai_questions",
        person=("user_id",),
        fate=Fate.DELETED,
        export=exporting(
            Question.user_id,
            Question.tenant_id,
            Question.conversation_id,
            Question.message_id,
            Question.answer_id,
            Question.state,
            Question.partial,
            Question.asked_at,
            Question.finished_at,
        ),
        erase=deleting(Question.user_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="ai_messages",
        person=("user_id",),
        fate=Fate.DELETED,
        export=exporting(
            StoredMessage.user_id,
            StoredMessage.id,
            StoredMessage.tenant_id,
            StoredMessage.conversation_id,
            StoredMessage.number,
            StoredMessage.role,
            StoredMessage.content,
            StoredMessage.state,
            StoredMessage.created_at,
        ),
        erase=deleting(StoredMessage.user_id),
    )
)
declare(
    PersonalTable(
        section=SECTION,
        table="ai_conversations",
        person=("user_id",),
        fate=Fate.DELETED,
        export=exporting(
            Conversation.user_id,
            Conversation.id,
            Conversation.tenant_id,
            Conversation.course_id,
            Conversation.title,
            Conversation.conversation_type,
            Conversation.context,
            Conversation.message_count,
            Conversation.created_at,
            Conversation.last_activity,
        ),
        erase=deleting(Conversation.user_id),
    )
)

"""Words of generated courses: from a seeded generator come titles, names and paragraphs that read like a school's."""

from __future__ import annotations

from random import Random

TOPICS = {
    "technology": (
        "Python",
        "Relational Databases",
        "Computer Networks",
        "Web Accessibility",
        "Version Control",
        "Testing Software",
    ),
    "business": ("Bookkeeping", "Project Planning", "Negotiation", "Business Writing", "Supply Chains", "Pricing"),
    "design": ("Typography", "Colour", "Interface Design", "Drawing", "Information Graphics", "Photography"),
    "languages": (
        "Spanish Conversation",
        "German Grammar",
        "Arabic Script",
        "French Pronunciation",
        "Japanese Kana",
        "Translation",
    ),
    "mathematics": ("Linear Algebra", "Probability", "Calculus", "Number Theory", "Geometry", "Statistics"),
    "science": ("Astronomy", "Organic Chemistry", "Ecology", "Genetics", "Classical Mechanics", "Geology"),
    "health": ("First Aid", "Nutrition", "Anatomy", "Sleep", "Public Health", "Ergonomics"),
    "music": ("Harmony", "Ear Training", "Piano", "Guitar", "Music History", "Recording"),
    "marketing": (
        "Market Research",
        "Copywriting",
        "Email Campaigns",
        "Brand Strategy",
        "Search Engines",
        "Customer Interviews",
    ),
    "teaching": (
        "Lesson Planning",
        "Assessment",
        "Classroom Dialogue",
        "Online Facilitation",
        "Feedback",
        "Inclusive Teaching",
    ),
}
"""Topics by the slug of each category that the migrations make."""

_TITLES = (
    "Foundations of {0}",
    "{0} in Practice",
    "{0} for Beginners",
    "A Working Knowledge of {0}",
    "{0}: The Next Step",
    "Advanced {0}",
    "The {0} Workshop",
    "Understanding {0}",
)
_MODULES = (
    "Where it begins",
    "The words of the field",
    "A first example",
    "Looking closely",
    "Common mistakes",
    "Working with others",
    "Under real conditions",
    "Measuring what you did",
    "A larger project",
    "Where to go from here",
)
_LESSONS = ("Read", "Try it", "Explain it", "Compare", "Review")
_SENTENCES = (
    "We start from {0} and ask what it is good for.",
    "You will meet {0} in three situations, each a little less tidy than the one before.",
    "Nothing here assumes that you have worked with {0} before.",
    "The exercises on {0} take about twenty minutes and can be repeated as often as you like.",
    "Most difficulties with {0} come from a step that looked too small to write down.",
    "At the end you can explain {0} to somebody who has never heard of it.",
    "A short case shows how a team uses {0} under time pressure.",
    "Compare your own attempt at {0} with the two worked solutions.",
    "There is usually more than one good answer; say why you chose yours.",
    "Write down what surprised you, for the next module comes back to it.",
    "The reading is short on purpose, so that there is time to practise.",
    "Where the textbooks disagree we show both views and their evidence.",
    "Each part closes with questions that you can answer in a sentence.",
    "Bring an example of your own if you have one.",
    "If a term is new to you, the glossary gives it in plain words.",
    "Keep your notes: the final project is built from them.",
)
_FIRST_NAMES = (
    "Amina",
    "Benedikt",
    "Chiara",
    "Dawit",
    "Elif",
    "Farid",
    "Grace",
    "Hiro",
    "Ines",
    "Jonas",
    "Khadija",
    "Liam",
    "Mei",
    "Noah",
    "Olga",
    "Pedro",
    "Rania",
    "Samuel",
    "Tala",
    "Uma",
    "Viktor",
    "Wanjiru",
    "Ximena",
    "Yusuf",
    "Zofia",
)
_LAST_NAMES = (
    "Abebe",
    "Bauer",
    "Costa",
    "Dogan",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ivanova",
    "Jansen",
    "Kimura",
    "Lopez",
    "Mensah",
    "Nowak",
    "Okafor",
    "Petrov",
    "Quispe",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Usman",
    "Vega",
    "Weber",
    "Yilmaz",
    "Zhang",
)


class Writer:
    """Texts from a seeded generator: the same seed writes the same texts."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def name(self) -> tuple[str, str]:
        """A first and a last name."""
        return self._random.choice(_FIRST_NAMES), self._random.choice(_LAST_NAMES)

    def topic(self, category: str) -> str:
        return self._random.choice(TOPICS[category])

    def course_title(self, topic: str) -> str:
        return self._random.choice(_TITLES).format(topic)

    def module_title(self, position: int) -> str:
        return _MODULES[position % len(_MODULES)]

    def lesson_title(self, topic: str, position: int) -> str:
        return f"{_LESSONS[position % len(_LESSONS)]}: {topic}"

    def prose(self, topic: str, length: int) -> str:
        """Exactly ``length`` characters of sentences about a topic, the last of them cut short."""
        found: list[str] = []
        so_far = -1
        while so_far < length:
            sentence = self._random.choice(_SENTENCES).format(topic)
            found.append(sentence)
            so_far += len(sentence) + 1
        return " ".join(found)[: length - 1] + "…"

    def html(self, topic: str, length: int) -> str:
        """One paragraph of HTML, ``length`` characters with its tags; it passes the platform's sanitizer unchanged."""
        return f"<p>{self.prose(topic, length - len('<p></p>'))}</p>"

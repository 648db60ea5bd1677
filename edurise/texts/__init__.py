"""What errors and notifications say, by language. One TOML catalogue a language; ``en`` is complete by definition."""

from edurise.texts.catalogue import FALLBACK, has_text, languages, negotiate, notification, text

__all__ = ["FALLBACK", "has_text", "languages", "negotiate", "notification", "text"]

"""Verbs of files, by noun."""

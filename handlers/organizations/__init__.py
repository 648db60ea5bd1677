"""Handlers of organizations, one file for each thing that they are about."""

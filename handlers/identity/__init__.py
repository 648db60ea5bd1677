"""Handlers of accounts, one file for each thing that they are about."""

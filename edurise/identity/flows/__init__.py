"""Flows of accounts: each alternates hops and ports."""

"""Flows of privacy: each alternates hops and ports."""

"""Flows of figures: what spans organizations is read as the system role."""

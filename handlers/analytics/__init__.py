"""Handlers of what shows figures that span capabilities, whatever its path."""

"""Figures that span capabilities, whatever the path that shows them."""

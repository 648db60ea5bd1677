"""How fast EduRise is, in ratios: ``python -m benchmarks [--only NAME …] [--json FILE]``; README.md says how."""

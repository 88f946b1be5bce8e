"""Measurements: `make bench`. The real daemon on one core, the load generator on another, a peer beside it in the same run."""

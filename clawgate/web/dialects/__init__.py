"""Exact strings, field names and shapes of each wire. Ring: edge, under the domain rule."""

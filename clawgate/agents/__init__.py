"""Agents: what answers. Ring: edge."""

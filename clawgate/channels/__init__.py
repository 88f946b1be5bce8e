"""Messaging platforms. Ring: edge."""

"""Durable stores. Ring: edge."""

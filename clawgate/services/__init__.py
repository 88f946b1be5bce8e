"""What the gateway does: deferred-based services without I/O of their own. Ring: services."""

"""Public tools for tests: an in-memory gateway, fakes, and the contract suites they pass."""

"""What things are and how they change: pure values and rules.

Ring: domain. Nothing here reads a clock, a file, a socket or a random number; all of those are arguments.
"""

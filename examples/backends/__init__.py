"""Slow servers that the examples talk to."""

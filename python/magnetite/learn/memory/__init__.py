"""What is remembered between steps."""

from magnetite.learn.memory.queue import Queue

__all__ = ["Queue"]

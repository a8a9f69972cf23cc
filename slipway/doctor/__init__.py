"""Whether what a stack needs is there, and whether its hosts do what it was planned on. Pure: the edges ask, these
modules judge (docs/doctor.md)."""

from slipway.doctor.types import Check, NoAnswer, Verdict, exit_code

__all__ = ["Check", "NoAnswer", "Verdict", "exit_code"]

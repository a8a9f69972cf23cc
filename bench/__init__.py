"""Benchmarks: Slipway beside a peer, or beside the least work that could do. `make bench-NAME` runs one.

They print what was measured in the same run on the same machine, and never judge it: the last line is JSON.
"""

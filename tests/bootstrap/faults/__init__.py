"""The fault table: what can go wrong while a host goes to another release, and what becomes of the host."""

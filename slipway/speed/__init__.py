"""How fast a setup serves a model, and how many requests it carries."""

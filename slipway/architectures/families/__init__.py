"""One module for models that are built alike; `registry.py` says which class is of which."""

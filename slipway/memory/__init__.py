"""What a model takes in memory, and how much is left for requests."""

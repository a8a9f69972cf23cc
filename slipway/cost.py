"""What an option costs: € a month, € a million tokens, and the share of it that pays for idling."""

"""CPU or GPU, which one, how many, at what cost: the decision with its reasons."""

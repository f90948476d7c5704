"""Predict who is about to leave: rows at rolling cutoffs, the models that compete on them, and what they are worth."""

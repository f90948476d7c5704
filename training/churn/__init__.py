"""Who is about to leave: rows as of rolling cutoffs, the models that compete on them, and what they are worth."""

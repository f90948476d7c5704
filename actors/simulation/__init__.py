"""Define and carry out simulations over stored history."""

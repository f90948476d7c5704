"""Log, measure and trace what actors do."""

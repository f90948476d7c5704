"""Drive decisions: ask for choices, have messages sent, and pace both."""

"""Run work in processes forked from one that is small."""

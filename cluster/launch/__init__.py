"""Starts and stops an installation: its record, its ports and processes, Ray, Serve and further nodes."""

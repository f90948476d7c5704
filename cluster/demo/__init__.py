"""The demo of `up --demo`: its tenant, one campaign and the templates of what that sends."""

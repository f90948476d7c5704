"""What a tenant has besides people and what is published: environments, settings, users' secrets, saved reports."""

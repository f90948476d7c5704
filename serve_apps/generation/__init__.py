"""Asks models for text: the tenants' endpoints, what bounds questions to them, and what is kept of their answers.

Used by the content application for messages, and by the gateway for variants that a person looks at. What is asked and
what may be used of an answer is :mod:`whisperer.content.generation`.
"""

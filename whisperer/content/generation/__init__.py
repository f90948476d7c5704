"""Generated content: what a model is asked, what of its answer is used, and what is remembered of both. Pure.

A template has slots, ``{{ generated.lead | default: "…" }}``: where a campaign's arm has a brief, a model writes them
for each message; what it may not say, or says too late, the template's own words stand for. So a message never depends
on a model. Asking is `serve_apps/generation`; docs/generation.md describes the whole.
"""

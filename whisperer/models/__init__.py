"""Trained models as data: what an artifact may contain, where versions are kept, and how one comes to decide for users.

    artifact    a folder and its manifest: lineage, sizes, hashes
    formats     the closed set of files in it; no pickle is ever read, nor anything that names code
    store       versions on any object store; loading: from verified bytes to boosters, arrays, tables
    rollout     shadow -> 5 -> 25 -> 100 %, and back; guardrails: when it goes back by itself
    value       models that decisions are scored with; scores: those that users are, and score_evidence, their gate

Leaves to others: training, judging a version (:mod:`whisperer.evaluation`), and scoring with it.
"""

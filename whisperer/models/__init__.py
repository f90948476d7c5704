"""Handle trained models as data: what an artifact may contain, where versions are kept, how one comes to serve users.

    artifact    a folder and its manifest: lineage, sizes, hashes
    formats     the closed set of files in it; nothing is ever read that is a pickle or names code
    store       versions on any object store; loading: from verified bytes to boosters, arrays, tables
    rollout     shadow -> 5 -> 25 -> 100 %, and back; guardrails: when it goes back by itself
    value       models that score decisions; scores: models that score users, and score_evidence, their gate

Leaves to others: training, judging a version (:mod:`whisperer.evaluation`), and scoring with it.
"""

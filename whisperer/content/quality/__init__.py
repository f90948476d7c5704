"""How good a message is, from 0 to 5, by a rubric that is written down: docs/quality.md. Pure.

`rubric` has the criteria and how they make one score; `score` applies it to a message; `calibration` corrects scores by
what readers did.
"""

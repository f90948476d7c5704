"""Learn what an action is worth to each user over leaving the user alone, from randomised decisions.

`trial` decides what may be learned from and refuses or reports the rest, `bases` are the regressions, `learners` the
five ways to make effects of regressions, `mix` weights them by how they do on users they have not seen, `caution`
decides when to deviate from the best single arm, `storage` keeps what was fitted without ever running what it reads.
Leaves to others: which decisions (`training` rows), whether a new model may go live (`whisperer.evaluation.gate`), and
costs and limits when it is used.
"""

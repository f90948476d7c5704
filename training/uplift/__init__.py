"""What an action is worth to each user over leaving the user alone, learned from randomised decisions.

`trial` says what may be learned from and refuses or reports the rest, `bases` are the regressions, `learners` the four
ways to make effects of regressions, `mix` weighs them by how they fare on users they have not seen, `caution` says when
to deviate from the best single arm, `storage` keeps what was fitted without ever running what it reads. Leaves to
others: which decisions (`training` rows), whether a new model may go live (`whisperer.evaluation.gate`), and costs and
limits when it is used.
"""

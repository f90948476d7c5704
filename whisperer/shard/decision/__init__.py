"""Follow one decision's life, in reading order.

considered   :mod:`.triggers` says who is a candidate of which campaign, and when
             :mod:`.candidacy` opens the decision: audience, group, consent, caps, quiet hours
             :mod:`.features` and :mod:`.view` say what the decision looked at, and show it to people
chosen       :mod:`.candidacy` takes the choice of the decisions application
prepared     :mod:`.sending` says what to render
dispatched   :mod:`.sending` takes the last look before the message leaves
confirmed    :mod:`.outcomes` takes the provider's receipt
outcomes     :mod:`.outcomes` takes what the user did, and on time closes what has matured
reward       :mod:`.outcomes` puts each revision into the log that the learner reads
"""

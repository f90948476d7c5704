"""The audit log: who changed what, from what to what, from where; and which person looked at whose data.

Entries are made in the transaction that changes something, from what that transaction wrote: no change can be made
without one. Each contains the hash of the one before it in its tenant's log, so that a change or a gap is found.
"""

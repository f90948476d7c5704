"""Simulate what a campaign or policy would have done with past users, and check what speaks against launching it.

    history   facts of the past other than events, and stored events as blocks again
    plan      the question: a campaign's definition, a policy, the days, a budget
    replay    the shard's own code under a clock that we turn; nothing is sent
    tally     what became of candidates, by day, arm, group and reason
    value     what it would have been worth, by off-policy evaluation, or why that cannot be said
    checks    the launch checklist;  forecast: the parts of it that are arithmetic
    run       all of it, to one document

Pure: no clock, network or files. Where histories come from and where simulations run is up to
:mod:`actors.simulation.process`.
"""

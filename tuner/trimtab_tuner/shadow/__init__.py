"""Another model asked the same as recorded calls, beside the agent: pairs that are worth hundreds of runs.

In: recorded calls with their texts, a model, a cap in dollars. Out: per call how the two answers are judged, what each
cost and how long it took. Only answers are asked for: no tool is ever run, whatever a model wants to call. Sends to the
host that the calls went to, or to one that the user names, with a key from the user's own environment.
"""

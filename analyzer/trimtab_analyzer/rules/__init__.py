"""The rules, one file per thing they look at: requests, answers, tools, runs.

Each rule is one function: a :class:`~trimtab_analyzer.case.Case` and the name of the knob go in, a
:class:`~trimtab_analyzer.case.Blame` per group of hits comes out. What a rule asks, advises and is called elsewhere is
written in the table :data:`trimtab_analyzer.failures.RULES`, and a rule that is not in the table is not run.
"""

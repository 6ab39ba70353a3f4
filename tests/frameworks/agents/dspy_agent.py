"""A ReAct agent of DSPy whose second tool raises."""

import trimtab

trimtab.instrument()

import dspy


def add(a: int, b: int) -> int:  # add
    """Add two numbers."""
    return a + b


def divide(a: int, b: int) -> float:  # divide
    """Divide two numbers."""
    return a / b


dspy.configure(lm=dspy.LM("openai/gpt-scripted", cache=False), adapter=dspy.JSONAdapter())
agent = dspy.ReAct("question -> answer", tools=[add, divide], max_iters=4)  # built
print(agent(question="Add 2 and 3.").answer)

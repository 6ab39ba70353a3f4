"""What a webhook is told: new findings, rollbacks, spent budgets.

In: the store. Out: requests to an address of the user's. Each thing is told once, whatever is killed when.
"""

from .notifier import Notifier, send_test

__all__ = ["Notifier", "send_test"]

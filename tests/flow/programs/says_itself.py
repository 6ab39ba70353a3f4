"""An agent that instruments itself, with settings of its own."""

from asks import ask

import trimtab

trimtab.instrument(content="off", service="own-name")
trimtab.instrument(content="full")
ask()

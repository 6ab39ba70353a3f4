"""Found by every Python below ``trimtab run``, because this folder leads PYTHONPATH: starts tracing, steps aside.

In: an interpreter that is just starting, of any version, perhaps without trimtab. Out: the same interpreter traced,
with this folder off ``sys.path`` and with the ``sitecustomize`` run that this one stands in front of. The tracer is
imported from the interpreter's own packages, else from where this file lies. Whatever is in the way costs the agent
nothing but the recording: one line on stderr, said by the first Python of a family only, and it runs untraced.
Old interpreters read this file too: the syntax is that of every Python that is still about.
"""

import os
import sys

ORIGIN = "TRIMTAB_RUN_ORIGIN"
"""Variable that names the first Python of a family: those below it are its children, and stay silent."""

OLDEST = (3, 11)
"""Oldest Python that the tracer runs on."""

HELPERS = ("from multiprocessing.resource_tracker import", "from multiprocessing.semaphore_tracker import")
"""Programs of ``python -c`` that the standard library starts for itself; no agent runs in them."""

HERE = os.path.dirname(os.path.abspath(__file__))


def start():
    # type: () -> None
    """Trace this interpreter, if it can be and is worth it."""
    if any(argument.startswith(HELPERS) for argument in getattr(sys, "orig_argv", ())):
        return
    is_first = ORIGIN not in os.environ
    os.environ.setdefault(ORIGIN, str(os.getpid()))
    try:
        if sys.version_info < OLDEST:
            raise ImportError("trimtab needs Python {}.{} or newer".format(*OLDEST))
        try:
            import trimtab  # noqa: F401 - whether it is installed here
        except ImportError:
            adopt()
        from trimtab_tracer.instrument.switch import switch

        switch.on_injected()
    except Exception as error:
        if is_first and sys.stderr is not None:
            version = "{}.{}".format(*sys.version_info[:2])
            text = "trimtab: {} (Python {}) runs untraced ({}: {}).\n"
            sys.stderr.write(text.format(sys.executable, version, type(error).__name__, error))


def adopt():
    # type: () -> None
    """Make the two packages beside this file importable, and nothing else of what lies there."""
    from importlib.util import module_from_spec, spec_from_file_location

    folder = os.path.dirname(os.path.dirname(HERE))
    for name in ("trimtab_tracer", "trimtab"):
        place = os.path.join(folder, name)
        init = os.path.join(place, "__init__.py")
        spec = spec_from_file_location(name, init, submodule_search_locations=[place])
        if spec is None or spec.loader is None:
            raise ImportError("{} can't be loaded".format(init))
        sys.modules[name] = module = module_from_spec(spec)
        spec.loader.exec_module(module)


def step_aside():
    # type: () -> None
    """Leave ``sys.path`` as it were without us, and run the ``sitecustomize`` that comes next, if there is one."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]
    ours = sys.modules.pop("sitecustomize", None)
    try:
        import sitecustomize  # type: ignore[import-not-found] # noqa: F401 - the next one
    except ImportError as error:
        if getattr(error, "name", None) != "sitecustomize":
            raise
    finally:
        if ours is not None:
            sys.modules.setdefault("sitecustomize", ours)


start()
step_aside()

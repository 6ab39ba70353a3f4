"""Every sentence that the dashboard says of itself. What the sidecar, a finding or a person said is quoted, not kept
here.

In: values to name. Out: texts, plain or Markdown as each says; whatever comes from outside is escaped by
:mod:`.views.words` before it gets into Markdown. One module, so that one thing has one name on all pages.
"""

from __future__ import annotations

from collections.abc import Sequence

from trimtab_tracer.errors import SidecarError

OVERVIEW = "Overview"
RUNS = "Runs"
RUN = "Run"
HARNESS = "Harness"
COMPARE = "Compare"
FINDINGS = "Findings"
RECOMMENDATIONS = "Recommendations"
TUNER = "Tuner"
CHANGES = "Changes"
SETUP = "Set-up"

UNEXPECTED = "This page failed to draw. Reload it; the sidecar's log has the details."
EMPTY = (
    "Nothing has been recorded in this home yet. Add `trimtab.instrument()` to an agent, or start it with"
    " `trimtab run -- python agent.py`, with the same `TRIMTAB_HOME`; its runs appear here while it works."
)
NO_SIDECAR = (
    "The sidecar does not answer. What is shown is the last that is known. Check that `trimtab up` still runs; the page"
    " goes on by itself then."
)
STEERING_UNKNOWN = "Whether steering is on is not known now."
SLOW = "The sidecar has not answered for two seconds; the page appears when it does."
NO_FINDINGS = (
    "None of the known failure patterns was found in what is recorded. Findings appear here by themselves,"
    " seconds after a run shows one."
)
NO_RESOLVED = "No finding has been resolved yet: one is when it was open and does not come back."
NO_RECOMMENDATIONS = (
    "No change is proposed. Recommendations appear here when a finding names a setting that trimtab can change"
    " while the agent runs: a timeout, retries, a fallback, a token limit."
)
NO_RUNS = "No run fits these filters."
SEARCH_HELP = (
    "Looked for in names, tasks, errors, and what is kept of requests and answers, in any case: 500 runs at a time, the"
    " newest that fit the other filters first."
)
NO_RUN_CHOSEN = "No run is chosen. Open one from the list of runs."
NO_TEXTS = "No text of this call is kept: content is off, was dropped, or was erased."
NO_CALLS = "This run has made no call yet."
TODAY = "Today trimtab"
NOTHING_TODAY = "Today (UTC) trimtab changed nothing by itself."
SAVED = (
    "An effect: these values were drawn at random. It is what such units cost less by all that was learned so far; the"
    " bounds of several experiments are added up, so the interval is rather too wide."
)
HARNESS_OR_MODEL = "Harness against model"
VARIES = "Shares of the variance between runs, over all services: an association, unless versions were drawn at random."
ABOUT_NUMBERS = "What to know about these numbers"
NOTHING_STEERED = "Nothing is steered: every agent does what its code says."
NO_AUDIT = "Nobody has decided anything yet."

NO_LINES = "No call of these runs is recorded, so there is no line to show."
NO_LINE = "No call of these runs was made at this line."
NO_WAY = "These runs made no call and used no tool, so there is no map to draw."
NO_VERSIONS = (
    "No run has ended yet. Versions appear here when runs end; name them with `trimtab.run(harness=...)` or"
    " `TRIMTAB_HARNESS`, else the git commit is the name."
)
ONE_VERSION = "All runs are of one version; versions can be compared when there is a second one."
VERSIONS_NOTE = (
    "Versions ran at different times and maybe on different tasks: what differs between them is an association. An"
    " experiment compares them at the same time."
)
SCORES_NOTE = (
    "Points are shares of 0 to 100, lines their 95 % intervals. There is no total: they are shares of different things."
)
MAP_NOTE = (
    "Square boxes are lines that make calls, round ones are tools. A way is labelled with how often it was taken, what"
    " the calls it leads to cost, and how many of them failed (at the end: how many of the runs). Wider is more often,"
    " dashed is more than one failure in ten. Counts and sums have no interval; the table has those of the shares."
)
LINES_NOTE = (
    "A line's money is that of the calls made there; the findings name the line that decided. Failed runs are those"
    " with a call at the line, whatever made them fail: an association."
)

BY_HELP = "Or the name of a knob: then runs that got different values of it are taken as different harnesses."
INFERRED_TOO = "Count outcomes that trimtab inferred too"
SHARES_NOTE = (
    "Shares add up to 100 %. A share is how much of the variation between runs goes with a factor: an association,"
    " unless the factor was drawn. What no factor tells is called noise. docs/compare.md has the formulas."
)
GAP_NOTE = (
    "Points are the difference in success between the best and the worst harness of a model; lines are 95 % intervals"
    " that hold for all pairs at once. Corrected is what is left when one half of the runs chooses and the other"
    " measures."
)
NO_GAP = "No model has five runs of known success in each of two harnesses, so there is no gap to tell."
NO_FRONTIER = (
    "Cost and quality need two configurations (a harness with a model) with five runs of known success and cost each."
)
FRONTIER_ALT = "Configurations by mean cost and success with intervals; the table below has all of them."
FRONTIER_NOTE = (
    "On the frontier: no other one is at least as good and at least as cheap. The best one counts as 100 %; dashed"
    " lines are the quality and the cost that were asked for. Means over the runs each had: an association."
)
NOTHING_DRAWN = (
    "No experiment has drawn values of a knob yet, so nothing can be said about values that did not run. Start one"
    " with `trimtab experiment start`; the values and their chances are then logged with each run."
)
WHAT_IF_NOTE = (
    "This is an effect, not an association: chance chose the values, and with what chance was logged. It says nothing"
    " of values that were never drawn."
)

ASSOCIATION = (
    "Findings are associations: they say what was in force when runs failed or money was lost,"
    " not that it was the cause."
)
LEDGER_NOTE = "Everything that was paid is in exactly one class; the parts add up to the total."
WATERFALL = (
    "Thick bars are attempts (✕ failed, ⊘ left before its end), dashed lines waits before the next attempt, thin bars"
    " tools; a hollow bar is a tool that was not seen running: its time lies between the answer that asked for it and"
    " the request that brought its result, so it is an upper bound. A white tick is the first token of a stream. A line"
    " with ▸ is an agent within the run; its calls and tools are indented below it."
)
WHICH_FINDINGS = "Which findings"
WATERFALL_ALT = "The run's calls, attempts, waits and tools over time; the list above names each call with its result."
TIMELINE_ALT = "The latest runs by start and cost; the page Runs lists them with their results."
COMPARE_WITH = "Compare with another run of this agent"
TWO_RUNS = (
    "Two runs, side by side. What differs between them need not be why they ended differently: the same agent differs"
    " from itself. The page Compare has what holds over many runs."
)
SAME_SETTINGS = "Every setting had the same values in both."
BLAME = "Where it may have been lost"
CHOOSE_CALL = "Choose a call here or in the chart"
CALL_SETTINGS = "Settings of this call"
REJECTED = "The agent turned this answer down; its next request said:"

ASK_FOR = "Make it a recommendation"
RANKED_BY = "Ranked by"
NO_REOPENED = "No finding that was resolved has come back."
ACCEPT, REJECT, ROLL_BACK, PROMOTE = "Accept", "Reject", "Roll back", "Promote"
WHY = "Why (optional, kept in the audit)"
EVIDENCE = "Evidence"
EDIT_TITLE = "Set another value"
SHADOW_TITLE = "Shadow first"
SHADOW_NOTE = (
    "Asks it the same as recorded calls, beside the agent; no tool is run. Type it in the agent's folder, where the"
    " provider's key is in the environment: this page has no key and spends nothing. `--dry-run` says what it would"
    " cost. What it answers warms up experiments and, where it suffices, becomes a recommendation."
)
EDIT = "Value to set (JSON)"
EDIT_HELP = "As recommended. Change it to set something else; the sidecar refuses what agents would not obey."
FREEZE, UNFREEZE = "Freeze steering", "Unfreeze"
FREEZE_QUESTION = (
    "Every agent goes back to what its code says, within two seconds. The accepted changes are kept and come back"
    " when steering is unfrozen."
)
UNFREEZE_QUESTION = "Agents obey the accepted changes again, within two seconds."
ROLL_BACK_POLICY = "Roll back to the version before"
ROLL_BACK_QUESTION = (
    "The rules of the version before come back. Recommendations and experiments whose rules go with that are rolled"
    " back and stopped; the audit names them."
)

NOT_SIGNED_IN = "Sign in first: `trimtab dashboard` prints a link.\n"
OTHER_ORIGIN = "Pages of other origins may not use the dashboard.\n"
SIGNED_OUT = "You are signed out."
LOGIN_INCOMPLETE = "Both are needed: your name, and the token."
LOGIN_CODE_REFUSED = (
    "This link was used already or is too old. Print a fresh one with `trimtab dashboard`, or sign in with the token."
)
LOGIN_TOKEN_REFUSED = "This is not the token; it is in the file `token` of the home."
LOGIN_NO_SIDECAR = "The sidecar does not answer, so nobody can sign in. Check that `trimtab up` still runs."


def other_host(host: str, hosts: Sequence[str]) -> str:
    """The Host header names someone else."""
    return f"This is not {host!r}; open the dashboard as {' or '.join(hosts)}.\n"


def login_refused(error: SidecarError, *, is_code: bool) -> tuple[int, str]:
    """HTTP status and sentence for a sign-in that the sidecar did not vouch for."""
    if error.status is None or error.status >= 500:
        return 503, LOGIN_NO_SIDECAR
    if is_code:
        return 401, LOGIN_CODE_REFUSED
    return (422, str(error)) if error.status == 422 else (401, LOGIN_TOKEN_REFUSED)


CURVES = "What is known of each value, and how it was drawn"
ARMS_NOTE = (
    "An effect: values were drawn at random. A unit is a run at a line; intervals hold at every moment one may look, at"
    " 95 %. A value is proven when it is shown to cost no more success than the margin, and to be better by the goal."
)
NOTHING_LEARNED = (
    "No experiment is running. One draws values of a setting run by run, remembers with which probability, and shows"
    " which value is better; nothing changes for good without you."
)
NOTHING_HAPPENED = "Nothing has happened yet."
CHANGE_EXPERIMENT = "Change or stop it"
ANOTHER_VALUE = "Try another value too"
ADD_VALUE = "Add the value"
WHICH_VALUE = "Value to try no more"
REMOVE_VALUE = "Take it out"
STOP_EXPERIMENT = "Stop the experiment"
BEGIN_EXPERIMENT = "Begin an experiment"
KNOB = "Setting"
OBJECTIVE = "Goal"
MARGIN = "Success that may be lost, in points"
VALUES_TO_TRY = "Values to try"
VALUES_HELP = "One a line, as JSON or as plain text. What your code does now always takes part."
ONE_VALUE = "Type one value, as JSON or as plain text. Nothing was changed."
CHANGE_MODE = "Change the mode"
MODE = "Mode"
ALL_KNOBS = "all others"
VALUE_ADDED = "The value is tried from now on; agents draw it within two seconds."
VALUE_REMOVED = "The value is tried no more; agents stop to draw it within two seconds."
EXPERIMENT_STOPPED = "The experiment has ended: every run has what its code says again, within two seconds."
EXPERIMENT_BEGUN = "The experiment has begun; agents draw values within two seconds."

CONNECT = "Give the agent this home (the folder `.trimtab` of its working directory otherwise), and one of these lines."
MADE_WITH = "The agent is made with"
PACKAGES = "Packages of the sidecar's own environment"
PACKAGES_NOTE = (
    "An agent with an environment of its own has other packages: run `trimtab doctor --python PATH` there, and"
    " `trimtab doctor --selftest` for calls that are really made."
)
RETENTION = "Everything is kept until somebody deletes it; trimtab erase takes out prompts and answers."
NOTHING_LOST = "Nothing: every record that an agent wrote was kept."
SETTINGS_OF_SIDECAR = "Settings of the sidecar"


def mode_set(knob: str, mode: str) -> str:
    """That the mode of a knob is another one."""
    return f"The mode of {knob} is {mode} from now on."


def decided(action: str) -> str:
    """What a person's decision led to; ``action`` as in the path of the API."""
    return {
        "ask": "It is proposed now: decide about it on the page Recommendations.",
        "accept": "Accepted. Agents obey it within two seconds; its state turns to active when a call has done so.",
        "reject": "Rejected. It is not proposed again.",
        "rollback": "Rolled back. Agents do what their code says again, within two seconds.",
        "promote": "Promoted: the change is called proven, and its rule stays.",
        "freeze": "Steering is frozen: every agent does what its code says.",
        "unfreeze": "Steering goes on: the accepted changes are in force again.",
        "policy/rollback": "The policy was rolled back; the audit below says what that undid.",
    }[action]


def more_cards(n: int, command: str) -> str:
    """What the page leaves out."""
    return f"{n:,} more are not shown here; `{command}` lists them all."


def some_of(first: int, last: int, n: int) -> str:
    """Which of the cards a page shows."""
    return f"{first:,} to {last:,} of {n:,}."

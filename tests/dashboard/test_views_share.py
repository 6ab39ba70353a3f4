"""How much varies with harness and model, in sentences."""

from __future__ import annotations

from trimtab_dashboard.views import share


def test_each_measure_is_a_sentence_with_intervals() -> None:
    """Factors in their order, with what can't be told apart from them; combinations are left to the page Compare."""
    parts = [("noise", 0.5, ()), ("model", 0.1, ("task",)), ("harness", 0.3, ()), ("harness x model", 0.1, ())]
    components = [{"name": n, "share": s, "low": 0.0, "high": 0.6, "includes": i} for n, s, i in parts]
    shares = {"success": {"measure": "success", "runs": 1200, "components": components}}
    (said,) = share.sentences({"comparison": {"shares": shares, "notes": []}, "refusal": None})
    assert said == (
        "Success varies 30 % with the harness (95 % interval 0–60 %), 10 % with the model (95 % interval 0–60 %, task"
        " included) and 50 % with nothing that is known (95 % interval 0–60 %) (n = 1,200 runs)."
    )


def test_why_there_is_none() -> None:
    """A refusal is quoted; of too few runs the comparison says itself why."""
    assert ["Not known: one version only"] == share.sentences({"comparison": None, "refusal": "one version only"})
    assert ["no x"] == share.sentences({"comparison": {"shares": {}, "notes": ["no x"]}, "refusal": None})

"""A recipe for the data, the machine and the minutes that there are.

`look` finds out what the data are like, `candidates` says which models and crops are worth a measurement,
`seg.training.rehearsal.rehearse` measures one, and `choose` turns the numbers into a `Recipe`, whose every line has its
reason. Nothing but the numbers decides: the same numbers give the same recipe.

What bites here:

- A rule stands on a study of ours with a date, and its reason names that; where there is none the reason says so.
- Memory is measured from small to large, and what would not fit is not tried: `Measured.most_images`.
"""

from seg.training.plan.candidates import Candidate, Measured, candidates
from seg.training.plan.choice import Plan, choose
from seg.training.plan.facts import Facts, look
from seg.training.plan.kept import Kept
from seg.training.plan.recipe import Recipe, words
from seg.training.plan.settings import Budget, groups_of, options_of

__all__ = [
    "Budget",
    "Candidate",
    "Facts",
    "Kept",
    "Measured",
    "Plan",
    "Recipe",
    "candidates",
    "choose",
    "groups_of",
    "look",
    "options_of",
    "words",
]

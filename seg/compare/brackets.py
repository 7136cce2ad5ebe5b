"""Which levels are not told apart: groups of them, as brackets of a figure show them."""

from itertools import combinations

from seg.compare.findings import OPPOSITE, Comparison


def brackets(result: Comparison) -> list[tuple[str, ...]]:
    """Return groups of levels of which none is better or worse than another, the best level first.

    Every such pair is in at least one group, and no group is part of another. So two levels without a common group are
    told apart, as with the letters of Piepho, "An algorithm for a letter-based representation of all-pairwise
    comparisons" (Journal of Computational and Graphical Statistics 2004).

    Where pairs with a reference alone are judged, it is one group at most: the reference, and what it is not told apart
    from.
    """
    order = [level.level for level in result.by_rank]
    apart = {frozenset((pair.a, pair.b)) for pair in result.pairs if pair.verdict in OPPOSITE}
    if result.reference is not None:
        alike = [name for name in order if frozenset((name, result.reference)) not in apart]
        return [tuple(alike)] if len(alike) > 1 else []
    left = [pair for pair in combinations(order, 2) if frozenset(pair) not in apart]
    groups: list[tuple[str, ...]] = []
    while left:
        group = list(left[0])
        for level in order:
            if level not in group and not any(frozenset((level, other)) in apart for other in group):
                group.append(level)
        groups.append(tuple(sorted(group, key=order.index)))
        left = [pair for pair in left if not set(pair) <= set(group)]
    return groups

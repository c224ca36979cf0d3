"""May a label go? Not while a rule names it: such a rule would wait for ever, and tell of nothing."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from streamclf.alerts.rules.rule import Rule
from streamclf.errors import UsageError


def check_unnamed(label: str, group: str, left: Iterable[str], rules: Sequence[Rule], path: Path) -> None:
    """Whether no rule would name what is gone once `label` is. Raises `UsageError`.

    group: that it is in. left: the labels that stay; with the last one the group goes as well. path: of the rules file.
    """
    going = {label} if list(left) else {label, f"group:{group}"}
    for rule in rules:
        for word in (*rule.labels, *rule.unless):
            if word in going:
                raise UsageError(
                    f"the rule '{rule.name}' in {path} names {word!r}, which would be gone with '{label}', and it "
                    "would wait in vain; take it out of the rules file first"
                )

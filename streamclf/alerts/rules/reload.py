"""The rules in force, and the file they came from: a changed file takes their place as a whole, or not at all."""

import logging
import os
from pathlib import Path

from streamclf.alerts.rules.rulefile import RuleFile, Vocabulary, load_rules
from streamclf.errors import ConfigError

log = logging.getLogger("streamclf.alerts")

Identity = tuple[int, int, int, int, int]


class RulesWatch:
    """path: the rules file. known: what rules may name.

    file: the rules in force. problem: why the file as it is now is not in force, "" where it is. One thread at a time
    looks; both may be read meanwhile on any other, since each is replaced as a whole.
    """

    def __init__(self, path: Path, *, known: Vocabulary, required: bool) -> None:
        """Read the file; without `required` it may come later. Raises `ConfigError`."""
        self.problem = ""
        self.path = path
        self.known = known
        self._required = required
        self._read = self._seen = identity_of(path)
        self.file = load_rules(path, known=known) if required or self._read is not None else RuleFile()

    def know(self, known: Vocabulary) -> None:
        """What rules may name from now on; the file is read again at the next look that is `at_once`."""
        self.known = known

    def look(self, *, at_once: bool = False) -> bool:
        """Read the file again where it has changed; whether other rules are in force now.

        A change is read at the second look that finds the file the same, so that one that is still being written is
        not taken for the whole. at_once: now, changed or not.
        """
        found = identity_of(self.path)
        settled, self._seen = found == self._seen, found
        if not at_once and (found == self._read or not settled):
            return False
        if found is None and self._read is None and not self._required:
            return False  # there never were any, and none are asked for
        self._read = found
        try:
            self.file = load_rules(self.path, known=self.known)
        except ConfigError as fault:
            self.problem = f"the rules that were read before hold, for {fault}"
            log.error("%s", self.problem)
            return False
        except Exception as fault:  # a fault of ours must not end the watching: the next file may be fine
            self.problem = f"the rules that were read before hold, for {self.path} cannot be used ({fault!r:.200})"
            log.exception("%s; please report it", self.problem)
            return False
        self.problem = ""
        log.info("rules: %s, from %s", said(self.file), self.path)
        self.warn()
        return True

    @property
    def waiting(self) -> tuple[str, ...]:
        """A sentence for each rule that waits for a label which was taught once."""
        return self.known.waiting(self.file.rules)

    def warn(self) -> None:
        """Say so in the log."""
        for sentence in self.waiting:
            log.warning("rules: %s", sentence)


def said(file: RuleFile) -> str:
    """How many rules and sinks there are, in words."""
    rules, sinks = len(file.rules), len(file.sinks)
    return f"{rules} rule{'s' * (rules != 1)} and {sinks} sink{'s' * (sinks != 1)}"


def identity_of(path: Path) -> Identity | None:
    """What changes when a file is changed or replaced, or others get at it; None where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode

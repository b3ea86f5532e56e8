"""Runs tests of CPython's own and writes down what became of each.

python_tests.py RESULTS MODULE[:PATTERN] ...     PATTERN: part of the test's id; !PATTERN: not those

What the tests print is theirs; the results are sorted, so that two runs can be compared.
"""

import sys
import unittest
from test import support


class Results(unittest.TestResult):
    """Each test's id with its outcome."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def note(self, test, outcome, detail=""):
        self.lines.append(f"{test.id()}: {outcome} {detail}".rstrip())

    def addSuccess(self, test):
        self.note(test, "ok")

    def addSkip(self, test, reason):
        self.note(test, "skipped", reason)

    def addExpectedFailure(self, test, error):
        self.note(test, "failed as expected")

    def addFailure(self, test, error):
        self.note(test, "FAILED", self._exc_info_to_string(error, test))

    addError = addFailure

    def addSubTest(self, test, subtest, error):
        if error is not None:
            self.addFailure(subtest, error)


def tests_of(suite):
    for one in suite:
        if isinstance(one, unittest.TestSuite):
            yield from tests_of(one)
        else:
            yield one


def wanted(test, patterns):
    name = test.id()
    plain = [p for p in patterns if not p.startswith("!")]
    without = [p[1:] for p in patterns if p.startswith("!")]
    return (not plain or any(p in name for p in plain)) and not any(p in name for p in without)


def main():
    support.use_resources = ["subprocess", "walltime"]
    results = Results()
    for word in sys.argv[2:]:
        module, *patterns = word.split(":")
        suite = unittest.defaultTestLoader.loadTestsFromName(f"test.{module}")
        chosen = [test for test in tests_of(suite) if wanted(test, patterns)]
        unittest.TestSuite(chosen).run(results)
    with open(sys.argv[1], "w") as file:
        print(*sorted(results.lines), sep="\n", file=file)


main()

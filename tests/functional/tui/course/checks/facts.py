"""``fake.fact`` and ``answer.word``, so that the course is whole."""

from meshlab.grading import Evidence, check, passed


def judge(evidence, params):
    """Pass."""
    return passed("fake.fact", "it is so")


@check("fake.fact", judge=judge, required=("key",))
def collect(context, params, so_far):
    """Nothing."""
    return Evidence("objects", {})


@check("answer.word", judge=judge, required=("key",))
def collect_answer(context, params, so_far):
    """Nothing."""
    return Evidence("objects", {})

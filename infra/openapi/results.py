"""The HTTP operations that ask what was answered."""

from __future__ import annotations

from infra.openapi.flags import READING
from infra.openapi.operation import Answer, Operation, Parameter, Schema, problems
from schemas.tokens import Scope
from streams.sink.memory import MOST_RESULTS, OUT_OF_SCOPE, USUAL_DAYS, USUAL_RESULTS
from streams.sink.routes import ACCURACY_PATH, INTENTS_PATH, MOST_DAYS, RESULTS_PATH
from streams.sink.views import AccuracyInsights, IntentInsights, ResultDetail, ResultList

RESULT_TYPES: tuple[type, ...] = (ResultList, ResultDetail, IntentInsights, AccuracyInsights)

_TAG = "Results"
_SCOPE = Scope.RESULTS_READ


def result_operations() -> list[Operation]:
    """Return the operations on results and insights."""
    text: Schema = {"type": "string"}
    listed = (
        Parameter("user_id", "query", "Only theirs.", text),
        Parameter("intent", "query", f"Only of this intent; `{OUT_OF_SCOPE}`: only those out of scope.", text),
        Parameter("since", "query", "Only those answered then or later.", text | {"format": "date-time"}),
        Parameter("limit", "query", "How many.", _number(MOST_RESULTS, USUAL_RESULTS)),
    )
    days = (Parameter("days", "query", "How many days back, today among them.", _number(MOST_DAYS, USUAL_DAYS)),)
    one = (Parameter("result", "path", "The result's id.", text),)
    return [
        _get(RESULTS_PATH, "listResults", "Results, the newest first.", ResultList, listed),
        Operation(
            "get",
            RESULTS_PATH + "/{result}",
            "getResult",
            _TAG,
            "One result, and what people said of it.",
            {200: Answer("The result.", ResultDetail)} | READING | problems(status_404="It is not kept."),
            one,
            scope=_SCOPE,
        ),
        _get(INTENTS_PATH, "intentInsights", "Counts and mean confidences by day.", IntentInsights, days),
        _get(ACCURACY_PATH, "accuracyInsights", "How often people called answers right.", AccuracyInsights, days),
    ]


def _get(path: str, name: str, summary: str, answer: type, parameters: tuple[Parameter, ...]) -> Operation:
    answers = {200: Answer("What is kept.", answer)} | READING
    return Operation("get", path, name, _TAG, summary, answers, parameters, scope=_SCOPE)


def _number(most: int, usual: int) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": usual}

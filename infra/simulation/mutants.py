"""The core made wrong, one promise at a time: what a simulation is worth is which of these it notices."""

from __future__ import annotations

from typing import NamedTuple

from infra.simulation.core import Mutation

_EXCHANGE = "streams.exchange"
_TRANSACTIONS = "streams.transactions"
_BREAKER = "models.breaker"
_CHAIN = "models.chain"


class Mutant(NamedTuple):
    """A wrong core.

    Attributes:
        name: What is wrong.
        mutation: Where.
    """

    name: str
    mutation: Mutation


MUTANTS = (
    Mutant(
        "a void batch is committed",
        Mutation(_EXCHANGE, "if self._is_void(batch):", "if self._is_void(batch) and False:"),
    ),
    Mutant(
        "a batch behind a missing one is committed",
        Mutation(_EXCHANGE, "if batch.number == self._due:", "if True:"),
    ),
    Mutant(
        "no rewind after an abort",
        Mutation(_EXCHANGE, "if self._rewind_due and not self._rewind(consumer):", "if False:"),
    ),
    Mutant(
        "a rewind that failed for a partition counts as done",
        Mutation(_EXCHANGE, "self._rewind_due = bool(failed)", "self._rewind_due = False"),
    ),
    Mutant(
        "a rewind that could not be made counts as done",
        Mutation(
            _EXCHANGE,
            "                self._report([error.args[0]])\n                return False",
            "                self._report([error.args[0]])\n"
            "                self._rewind_due = False\n"
            "                return False",
        ),
    ),
    Mutant(
        "the epoch is read after the records",
        Mutation(
            _EXCHANGE,
            "        epoch = self._epoch\n        messages = consumer.consume(1, idle_seconds)\n",
            "        messages = consumer.consume(1, idle_seconds)\n        epoch = self._epoch\n",
        ),
    ),
    Mutant(
        "a failed commit does not open an epoch",
        Mutation(
            _EXCHANGE,
            "                    else:\n                        self._open_epoch()",
            "                    else:\n                        self._due += batch.count",
        ),
    ),
    Mutant(
        "a batch given up is counted as answered",
        Mutation(
            _EXCHANGE,
            "self._observer.voided(len(batch.records))\n                self._open_epoch()",
            "self._observer.voided(len(batch.records))\n                self._due += batch.count",
        ),
    ),
    Mutant(
        "offsets are one too far",
        Mutation("streams.batches", "(record.offset() or 0) + 1)", "(record.offset() or 0) + 2)"),
    ),
    Mutant(
        "offsets are sent in a transaction of their own, before the answers",
        Mutation(
            _TRANSACTIONS,
            "        producer.begin_transaction()\n",
            "        producer.begin_transaction()\n"
            "        producer.send_offsets_to_transaction(offsets, group, CALL_SECONDS)\n"
            "        producer.commit_transaction(CALL_SECONDS)\n"
            "        producer.begin_transaction()\n",
        ),
    ),
    Mutant(
        "the answers are written twice when the queue is full",
        Mutation(
            _TRANSACTIONS,
            "                    producer.poll(_QUEUE_FULL_SECONDS)",
            "                    producer.poll(_QUEUE_FULL_SECONDS)\n"
            "                    produce(topic, value, key, partition, headers=headers)",
        ),
    ),
    Mutant(
        "an error is taken for a commit",
        Mutation(
            _TRANSACTIONS,
            "            self._take_back(failure.args[0])\n            return False",
            "            self._take_back(failure.args[0])\n            return True",
        ),
    ),
    Mutant(
        "a failed transaction is not aborted",
        Mutation(_TRANSACTIONS, "if producer is not None and not error.fatal():", "if False:"),
    ),
    Mutant(
        "a fenced producer is kept",
        Mutation(
            _TRANSACTIONS,
            "                self._add_partitions()\n        self._let_go()",
            "                self._add_partitions()",
        ),
    ),
    Mutant(
        "a new producer does not end what its predecessor left",
        Mutation(_TRANSACTIONS, "            self._persist(lambda: producer.init_transactions(CALL_SECONDS))\n", ""),
    ),
    Mutant(
        "a joined batch keeps the first one's offsets",
        Mutation(
            "streams.batches",
            "last={place: record for batch in batches for place, record in batch.last.items()}",
            "last=batches[0].last",
        ),
    ),
    Mutant("a breaker never opens", Mutation(_BREAKER, "self._failures >= self._limit", "self._failures > 10**9")),
    Mutant(
        "a breaker opens one failure late",
        Mutation(_BREAKER, "self._failures >= self._limit", "self._failures > self._limit"),
    ),
    Mutant(
        "a breaker never closes",
        Mutation(
            _BREAKER,
            "        self._opened_at = None\n        self._probing = False\n\n    def failed",
            "        self._probing = False\n\n    def failed",
        ),
    ),
    Mutant(
        "a failed probe does not open again",
        Mutation(
            _BREAKER,
            "if self._probing or (self._opened_at is None and self._failures >= self._limit):",
            "if self._opened_at is None and self._failures >= self._limit:",
        ),
    ),
    Mutant(
        "a probe that says nothing is never let go",
        Mutation(
            _BREAKER,
            'such as one that its caller gave up."""\n        self._probing = False',
            'such as one that its caller gave up."""',
        ),
    ),
    Mutant(
        "failures need not be in a row", Mutation(_BREAKER, '"""Close."""\n        self._failures = 0', '"""Close."""')
    ),
    Mutant(
        "a tier has no deadline",
        Mutation(_CHAIN, "async with asyncio.timeout(seconds):", "async with asyncio.timeout(None):"),
    ),
    Mutant(
        "nonsense is taken for an answer",
        Mutation(
            _CHAIN, "if fault := fault_of(probabilities, (len(texts), len(self._labels) + 1)):", "if fault := None:"
        ),
    ),
    Mutant(
        "a broken tier is not counted",
        Mutation(
            _CHAIN,
            "            breaker.failed()\n            return self._failed(tier.name, error)",
            "            breaker.released()\n            return self._failed(tier.name, error)",
        ),
    ),
    Mutant(
        "a tier's own cancellation is taken for the caller's",
        Mutation(_CHAIN, "            if _caller_gives_up():\n                raise", "            raise"),
    ),
)

"""The group's coordinator: who is a member, in which generation, and who has which partitions. Cooperative, as ours is.

A member gives back what it loses before anybody else gets it; only one that is taken for dead loses it unasked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from confluent_kafka import KafkaError

if TYPE_CHECKING:
    from infra.simulation.world import Process, World

SESSION_SECONDS = 6.0
_JOIN_SECONDS = 20.0
_HEARTBEAT_SECONDS = 0.5


class Membership(NamedTuple):
    """What travels with offsets: `consumer_group_metadata()`."""

    member: int
    instance: str
    generation: int


class Rebalance(NamedTuple):
    """What a member is to be told."""

    kind: Literal["assign", "revoke", "lost"]
    partitions: frozenset[int]


class Member:
    """One consumer, as it sees itself.

    Attributes:
        owned: What it has, until it gives it back.
        pending: What its application has not been told yet.
        shut_out: Whether another has its place.
    """

    def __init__(self, instance: str, process: Process) -> None:
        self.id = 0
        self.instance = instance
        self.process = process
        self.generation = -1
        self.owned: set[int] = set()
        self.pending: list[Rebalance] = []
        self.joined = False
        self.shut_out = False
        self.left = False

    def metadata(self) -> Membership:
        """Return who it is."""
        return Membership(self.id, self.instance, self.generation)


class Group:
    """All members.

    Args:
        world: Time and chance.
        partitions: To give away.
        broker: Is woken when somebody is to be told something.
    """

    def __init__(self, world: World, partitions: int, broker: Any) -> None:
        self._world = world
        self._partitions = partitions
        self._log = broker
        self._members: dict[int, Member] = {}
        self._generation = 0
        self._rebalancing = 0
        self._ids = 0

    def join(self, member: Member) -> None:
        """Take a member in; a static one that comes back takes its predecessor's place."""
        self._ids += 1
        member.id, member.left = self._ids, False
        for former in [each for each in self._members.values() if each.instance == member.instance]:
            del self._members[former.id]
            former.shut_out = former is not member
        self._members[member.id] = member
        self._watch(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        """Let a member go, for good."""
        member.left = True
        if self._members.pop(member.id, None) is not None:
            self.rebalance()

    def refusal(self, membership: Membership) -> int | None:
        """Return why offsets of this member are not taken, as an error's code."""
        for member in self._members.values():
            if member.instance == membership.instance and member.id != membership.member:
                return int(KafkaError.FENCED_INSTANCE_ID)
        if membership.member not in self._members:
            return int(KafkaError.UNKNOWN_MEMBER_ID)
        if membership.generation != self._generation:
            return int(KafkaError.ILLEGAL_GENERATION)
        return None

    def rebalance(self) -> None:
        """Have all members join anew."""
        self._rebalancing += 1
        for member in self._members.values():
            member.joined = False
            self._soon(self._join_again, member, self._rebalancing)
        self._world.loop.call_later(_JOIN_SECONDS, self._give_up_on_missing, self._rebalancing)

    def told(self, member: Member, rebalance: Rebalance) -> None:
        """Take note that an application has been told."""
        if rebalance.kind == "assign":
            return
        member.owned -= rebalance.partitions
        if rebalance.kind == "lost" and not member.left:
            self.join(member)
        elif member.id in self._members:
            self.rebalance()

    def _soon(self, call: Any, *args: Any) -> None:
        self._world.loop.call_later(self._world.chance.uniform(0, _HEARTBEAT_SECONDS), call, *args)

    def _join_again(self, member: Member, rebalancing: int) -> None:
        if rebalancing != self._rebalancing or member.id not in self._members:
            return
        if member.pending or self._is_away(member):
            self._soon(self._join_again, member, rebalancing)
            return
        member.joined = True
        if all(each.joined for each in self._members.values()):
            self._complete()

    def _give_up_on_missing(self, rebalancing: int) -> None:
        if rebalancing != self._rebalancing or all(each.joined for each in self._members.values()):
            return
        for member in [each for each in self._members.values() if not each.joined]:
            self._expel(member)
        self.rebalance()

    def _complete(self) -> None:
        self._generation += 1
        claims = {partition: member for member in self._members.values() for partition in member.owned}
        wanted = self._wanted(claims)
        for member in self._members.values():
            to_have = {partition for partition, owner in wanted.items() if owner is member}
            leaving = frozenset(member.owned - to_have)
            coming = frozenset(partition for partition in to_have if partition not in claims)
            self._world.loop.call_later(
                self._world.chance.uniform(0, 0.05), self._tell, member, self._generation, leaving, coming
            )

    def _wanted(self, claims: dict[int, Member]) -> dict[int, Member]:
        """Return who is to have each partition: as many each as may be, and rather whoever has it."""
        members = list(self._members.values())
        self._world.chance.shuffle(members)
        room = {
            member.id: self._partitions // len(members) + (place < self._partitions % len(members))
            for place, member in enumerate(members)
        }
        wanted: dict[int, Member] = {}
        for partition in range(self._partitions):
            owner = claims.get(partition)
            if owner is not None and room.get(owner.id, 0) > 0:
                room[owner.id] -= 1
                wanted[partition] = owner
        for partition in range(self._partitions):
            if partition not in wanted:
                owner = next(member for member in members if room[member.id] > 0)
                room[owner.id] -= 1
                wanted[partition] = owner
        return wanted

    def _tell(self, member: Member, generation: int, leaving: frozenset[int], coming: frozenset[int]) -> None:
        """Have a member know its generation, and its application what changes: losses first, the rest another time."""
        if member.id not in self._members or generation < self._generation:
            return
        member.generation = generation
        if leaving:
            member.pending.append(Rebalance("revoke", leaving))
        else:
            member.owned |= coming
            member.pending.append(Rebalance("assign", coming))
        self._log.notify()

    def _watch(self, member: Member) -> None:
        """Look, once a while, whether a member still beats."""
        identity = member.id

        def look(missed_since: float | None) -> None:
            if member.id != identity or identity not in self._members:
                return
            since = (missed_since if missed_since is not None else self._world.now) if self._is_away(member) else None
            if since is not None and self._world.now - since >= SESSION_SECONDS:
                self._expel(member)
                self.rebalance()
            else:
                self._world.loop.call_later(_HEARTBEAT_SECONDS, look, since)

        look(None)

    def _expel(self, member: Member) -> None:
        """Take a member for dead; should it not be, it hears of it when it beats again."""
        del self._members[member.id]
        self._hear_of_it(member)

    def _hear_of_it(self, member: Member) -> None:
        if member.process.dead or member.left:
            return
        if self._is_away(member):
            self._soon(self._hear_of_it, member)
            return
        member.pending = [Rebalance("lost", frozenset(member.owned))]
        self._log.notify()

    def _is_away(self, member: Member) -> bool:
        return member.process.dead or member.process.held_until > self._world.now

"""What one person's key has sealed, nobody opens with another's, and nobody changes unnoticed."""

from __future__ import annotations

import base64

import msgspec
import pytest

from schemas.cloudevents import decode_utterance
from schemas.errors import InvalidEventError
from schemas.events import PersonKey, Utterance
from streams.privacy.key_ring import KeyRing, read_key_record
from streams.privacy.sealing import KeyId, MasterKey, Sealed, new_key, parse_key_id

MASTER = MasterKey(b"m" * 32)
ADA, BOB = MASTER.name("ada"), MASTER.name("bob")


def key_of(name: bytes, generation: int = 1, master: MasterKey = MASTER) -> PersonKey:
    return PersonKey(generation=generation, wrapped=master.wrap(KeyId(name, generation), new_key()), changed_at="")


def destroyed(generation: int = 1) -> PersonKey:
    return PersonKey(generation=generation, changed_at="")


def ring_of(*names: bytes, opened: int = 10) -> KeyRing:
    ring = KeyRing(MASTER, opened=opened)
    for name in names:
        ring.apply(name, key_of(name))
    return ring


def sealed_by(ring: KeyRing, name: bytes, text: str) -> Sealed:
    sealed = ring.seal(name, text)
    assert sealed is not None
    return sealed


def fault_of(ring: KeyRing, key_id: str, text: str) -> str:
    with pytest.raises(InvalidEventError) as raised:
        ring.open(key_id, text)
    assert raised.value.__context__ is None or raised.value.__suppress_context__
    return raised.value.code


@pytest.mark.parametrize("text", ["where is my parcel?", "Zürich, déjà vu 🎉", "half \ud83d", " " * 8])
def test_a_text_comes_back_as_it_was_and_shows_nothing_meanwhile(text: str) -> None:
    ring = ring_of(ADA)
    sealed = sealed_by(ring, ADA, text)
    assert ring.open(*sealed) == text
    assert text.encode(errors="surrogatepass") not in base64.b64decode(sealed.text)
    assert sealed_by(ring, ADA, text).text != sealed.text


def test_who_somebody_is_cannot_be_told_from_a_key_without_the_master_key() -> None:
    assert ADA != BOB
    assert MasterKey(b"m" * 32).name("ada") == ADA
    assert MasterKey(b"n" * 32).name("ada") != ADA


def test_another_persons_key_opens_nothing() -> None:
    ring = ring_of(ADA, BOB)
    said = sealed_by(ring, ADA, "where is my parcel?")
    assert fault_of(ring, sealed_by(ring, BOB, "hello").key_id, said.text) == "seal_broken"


def test_another_master_key_opens_nothing() -> None:
    ring = KeyRing(MASTER)
    ring.apply(ADA, key_of(ADA, master=MasterKey(b"n" * 32)))
    assert fault_of(ring, str(KeyId(ADA, 1)), "AAAA") == "key_unknown"


def test_a_key_that_was_put_in_another_persons_place_opens_nothing() -> None:
    ring = KeyRing(MASTER)
    ring.apply(BOB, key_of(ADA))
    assert fault_of(ring, str(KeyId(BOB, 1)), "AAAA") == "key_unknown"


@pytest.mark.parametrize("byte", [0, 11, 12, 20, -1])
def test_a_text_that_was_changed_is_refused(byte: int) -> None:
    ring = ring_of(ADA)
    sealed = sealed_by(ring, ADA, "where is my parcel?")
    changed = bytearray(base64.b64decode(sealed.text))
    changed[byte] ^= 1
    assert fault_of(ring, sealed.key_id, base64.b64encode(changed).decode()) == "seal_broken"


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA"])
def test_what_was_never_sealed_is_refused(text: str) -> None:
    assert fault_of(ring_of(ADA), str(KeyId(ADA, 1)), text) == "seal_broken"


@pytest.mark.parametrize(
    "key_id", ["", ".", "a.1", "00.1", "z" * 32 + ".1", ADA.hex(), f"{ADA.hex()}.01", f"{ADA.hex()}.-"]
)
def test_what_is_no_key_id_is_refused(key_id: str) -> None:
    with pytest.raises(InvalidEventError, match="key_id"):
        parse_key_id(key_id)


def test_what_is_destroyed_opens_nothing_any_more_also_where_it_was_opened_before() -> None:
    ring = ring_of(ADA)
    sealed = sealed_by(ring, ADA, "where is my parcel?")
    assert ring.open(*sealed)
    assert ring.apply(ADA, destroyed())
    assert fault_of(ring, *sealed) == "key_destroyed"
    assert ring.seal(ADA, "hello") is None
    assert ring.knows(sealed.key_id)


def test_who_speaks_again_has_another_key_and_the_old_one_stays_destroyed() -> None:
    ring = ring_of(ADA)
    before = sealed_by(ring, ADA, "before")
    ring.apply(ADA, destroyed())
    ring.apply(ADA, key_of(ADA, 2))
    afterwards = sealed_by(ring, ADA, "afterwards")
    assert ring.open(*afterwards) == "afterwards"
    assert fault_of(ring, *before) == "key_destroyed"
    assert ring.latest(ADA) == (2, True)


@pytest.mark.parametrize("late", [key_of(ADA), None, destroyed(0)])
def test_no_record_that_comes_too_late_revives_anybody(late: PersonKey | None) -> None:
    ring = ring_of(ADA)
    sealed = sealed_by(ring, ADA, "where is my parcel?")
    ring.apply(ADA, destroyed())
    assert not ring.apply(ADA, late)
    assert fault_of(ring, *sealed) == "key_destroyed"


def test_a_key_that_nobody_was_given_is_not_known() -> None:
    ring = ring_of(ADA)
    assert not ring.knows(str(KeyId(ADA, 2)))
    assert fault_of(ring, str(KeyId(ADA, 2)), "AAAA") == "key_unknown"


def test_of_many_keys_few_are_kept_open_and_all_can_be() -> None:
    names = [MASTER.name(str(number)) for number in range(20)]
    ring = ring_of(*names, opened=3)
    sealed = [sealed_by(ring, name, str(number)) for number, name in enumerate(names)]
    assert [ring.open(*each) for each in sealed] == [str(number) for number in range(20)]
    assert len(ring._opened) == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"", b"{}"),
        (None, None),
        (b"zz", None),
        (ADA.hex().encode(), b"{"),
        (ADA.hex().encode(), b'{"generation": -1}'),
    ],
)
def test_what_is_no_key_is_refused(key: bytes | None, value: bytes | None) -> None:
    with pytest.raises(InvalidEventError, match="The record"):
        read_key_record(key, value)


def test_a_sealed_utterance_is_read_as_if_it_were_plain() -> None:
    ring = ring_of(ADA)
    sealed = sealed_by(ring, ADA, "where is my parcel?")
    utterance = Utterance(text=sealed.text, key_id=sealed.key_id, user_id="ada")
    received = decode_utterance(
        msgspec.json.encode(utterance), None, "here", max_text_characters=30, open_text=ring.open
    )
    assert (received.utterance.text, received.utterance.key_id) == ("where is my parcel?", None)


def test_where_nobody_has_a_key_a_sealed_utterance_is_refused_and_the_limit_is_the_texts_own() -> None:
    ring = ring_of(ADA)
    sealed = sealed_by(ring, ADA, "too long a text")
    value = msgspec.json.encode(Utterance(text=sealed.text, key_id=sealed.key_id))
    for open_text, code in ((None, "sealed"), (ring.open, "text_too_long")):
        with pytest.raises(InvalidEventError) as raised:
            decode_utterance(value, None, "here", max_text_characters=10, open_text=open_text)
        assert raised.value.code == code

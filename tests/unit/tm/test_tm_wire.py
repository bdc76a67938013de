"""The encoding byte for byte, and that nothing but it is read."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from quorumkit.tm.errors import WireError
from quorumkit.tm.wire import (
    Dialect,
    EncryptedPayload,
    PartyInfo,
    decode_party_info,
    decode_payload,
    encode_party_info,
    encode_payload,
)

PAYLOAD = EncryptedPayload(
    sender=b"S" * 32,
    cipher_text=b"C" * 17,
    nonce=b"n" * 24,
    recipient_boxes=(b"B" * 48,),
    recipient_nonce=b"r" * 24,
    recipient_keys=(b"K" * 32,),
)

# Worked out by hand: every length and count is 8 bytes, big-endian.
FIVE_FIELDS = (
    (b"\0\0\0\0\0\0\0\x20" + b"S" * 32)
    + (b"\0\0\0\0\0\0\0\x11" + b"C" * 17)
    + (b"\0\0\0\0\0\0\0\x18" + b"n" * 24)
    + (b"\0\0\0\0\0\0\0\x01" + b"\0\0\0\0\0\0\0\x30" + b"B" * 48)
    + (b"\0\0\0\0\0\0\0\x18" + b"r" * 24)
)
KEYS = b"\0\0\0\0\0\0\0\x01" + b"\0\0\0\0\0\0\0\x20" + b"K" * 32
NO_KEYS = b"\0" * 8
NUMBER_0 = b"\0" * 8
STANDARD_PRIVATE = b"\0\0\0\0\0\0\0\x01" + b"\0" + NUMBER_0

INFO = PartyInfo("http://a:9000/", ((b"K" * 32, "http://a:9000/"),), ("http://a:9000/", "http://bb:9/"))
INFO_CLASSIC = (
    (b"\0\0\0\0\0\0\0\x0e" + b"http://a:9000/")
    + b"\0\0\0\0\0\0\0\x01"
    + (b"\0\0\0\0\0\0\0\x20" + b"K" * 32 + b"\0\0\0\0\0\0\0\x0e" + b"http://a:9000/")
    + b"\0\0\0\0\0\0\0\x02"
    + (b"\0\0\0\0\0\0\0\x0e" + b"http://a:9000/" + b"\0\0\0\0\0\0\0\x0c" + b"http://bb:9/")
)
INFO_CRUX = INFO_CLASSIC.replace(b"\0\0\0\0\0\0\0\x20" + b"K", b"\0\0\0\0\0\0\0\x02" + b"\0\0\0\0\0\0\0\x20" + b"K")


def number(value: int) -> bytes:
    return value.to_bytes(8, "big", signed=value < 0)


def test_payload_bytes():
    assert encode_payload(PAYLOAD) == FIVE_FIELDS + KEYS
    assert decode_payload(FIVE_FIELDS + KEYS) == PAYLOAD


def test_payload_bytes_of_constellation_have_no_keys():
    assert decode_payload(FIVE_FIELDS).recipient_keys == ()
    assert decode_payload(FIVE_FIELDS + NO_KEYS) == decode_payload(FIVE_FIELDS)


def test_payload_bytes_of_crux():
    crux = number(2) + number(len(FIVE_FIELDS)) + FIVE_FIELDS + number(len(KEYS)) + KEYS
    assert encode_payload(PAYLOAD, Dialect.CRUX) == crux
    assert decode_payload(crux) == PAYLOAD


def test_standard_private_payload_of_a_late_tessera():
    assert decode_payload(FIVE_FIELDS + KEYS + STANDARD_PRIVATE) == PAYLOAD
    group = number(4) + b"team"
    assert decode_payload(FIVE_FIELDS + KEYS + STANDARD_PRIVATE + group) == PAYLOAD


@pytest.mark.parametrize(
    "tail",
    [
        number(1) + b"\x01" + NUMBER_0,  # party protection
        number(1) + b"\x03" + NUMBER_0 + number(32) + b"x" * 32,  # private state validation
        number(1) + b"\x00" + number(1) + number(1) + b"t" + number(1) + b"s",  # an affected transaction
    ],
)
def test_enhanced_privacy_is_refused(tail):
    with pytest.raises(WireError, match="privacy enhancements"):
        decode_payload(FIVE_FIELDS + KEYS + tail)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "ends within a number"),
        (b"\0" * 7, "ends within a number"),
        (number(31) + b"S" * 31 + FIVE_FIELDS[40:], "sender has 31 bytes, not 32"),
        (number(-1) + FIVE_FIELDS[8:], "length of sender is -1"),
        (number(2**63 - 1) + FIVE_FIELDS[8:], "length of sender"),
        (FIVE_FIELDS[:-1], "length of recipient nonce is 24, 23 bytes are left"),
        (FIVE_FIELDS.replace(number(1), number(2**40)), "recipient boxes cannot be"),
        (FIVE_FIELDS.replace(number(1), number(-5)), "recipient boxes cannot be -5"),
        (FIVE_FIELDS[:97] + number(0) + FIVE_FIELDS[161:], "no recipient box"),
        (FIVE_FIELDS + KEYS * 1 + b"\0", "ends within a number"),
        (FIVE_FIELDS + number(2) + KEYS[8:] * 2, "1 recipient boxes for 2 recipient keys"),
        (FIVE_FIELDS + KEYS + STANDARD_PRIVATE + number(0) + b"x", "1 bytes too many"),
        (number(2) + number(3) + b"abc", "ends within a number"),
        (number(2) + number(len(FIVE_FIELDS)) + FIVE_FIELDS + number(8) + NO_KEYS + b"x", "1 bytes too many"),
        (FIVE_FIELDS.replace(number(17) + b"C" * 17, number(15) + b"C" * 15), "shorter than its authenticator"),
    ],
)
def test_broken_payloads_are_refused(data, message):
    with pytest.raises(WireError, match=message):
        decode_payload(data)


def test_party_info_bytes():
    assert encode_party_info(INFO) == INFO_CLASSIC
    assert decode_party_info(INFO_CLASSIC) == (INFO, Dialect.CLASSIC)
    assert encode_party_info(INFO, Dialect.CRUX) == INFO_CRUX
    assert decode_party_info(INFO_CRUX) == (INFO, Dialect.CRUX)


def test_what_follows_the_parties_is_not_read():
    ledger_id = number(4) + b"main"
    assert decode_party_info(INFO_CLASSIC + ledger_id)[0] == INFO
    assert decode_party_info(INFO_CRUX + b"\0" * 100)[0] == INFO


def test_party_info_without_recipients_is_the_same_in_every_dialect():
    bare = PartyInfo(INFO.url, (), INFO.parties)
    assert encode_party_info(bare) == encode_party_info(bare, Dialect.CRUX)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (INFO_CLASSIC[:30], "recipients cannot be 1"),
        (INFO_CLASSIC[:-1], "length of parties"),
        (number(2) + b"\xff\xfe" + NUMBER_0 + NUMBER_0, "not UTF-8"),
        (number(1) + b"u" + number(1) + number(3) + b"key" + number(0) + number(0), "recipient key has 3 bytes"),
    ],
)
def test_broken_party_information_is_refused(data, message):
    with pytest.raises(WireError, match=message):
        decode_party_info(data)


def test_payload_hash_is_sha3_512_of_the_cipher_text():
    # FIPS 202's example for "abc".
    payload = EncryptedPayload(b"", b"abc", b"", (), b"")
    assert payload.hash.hex() == (
        "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
        "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"
    )
    assert hashlib.sha3_512(PAYLOAD.cipher_text).digest() == PAYLOAD.hash


def octets(size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size)


@st.composite
def payloads(draw) -> EncryptedPayload:
    count = draw(st.integers(1, 5))
    boxes = draw(st.lists(octets(48), min_size=count, max_size=count))
    keys = draw(st.one_of(st.just([]), st.lists(octets(32), min_size=count, max_size=count)))
    cipher_text = draw(st.binary(min_size=16, max_size=300))
    return EncryptedPayload(
        draw(octets(32)), cipher_text, draw(octets(24)), tuple(boxes), draw(octets(24)), tuple(keys)
    )


URLS = st.text(max_size=40).filter(lambda text: text.isprintable())


@given(payloads(), st.sampled_from(Dialect))
def test_payloads_survive_every_dialect(payload, dialect):
    assert decode_payload(encode_payload(payload, dialect)) == payload


@given(st.lists(st.tuples(octets(32), URLS), max_size=4), URLS, st.lists(URLS, max_size=4), st.sampled_from(Dialect))
def test_party_information_survives_every_dialect(recipients, url, parties, dialect):
    info = PartyInfo(url, tuple(recipients), tuple(parties))
    read, seen = decode_party_info(encode_party_info(info, dialect))
    assert read == info
    assert seen is (dialect if recipients else Dialect.CLASSIC)


@given(st.binary(max_size=400))
@example(b"\xff" * 64)
def test_bytes_of_any_kind_are_read_or_refused(data):
    for decode in (decode_payload, decode_party_info):
        with contextlib.suppress(WireError):
            decode(data)


@given(payloads(), st.data())
def test_a_payload_cut_short_is_never_read_as_one_with_keys(payload, data):
    whole = encode_payload(payload)
    cut = data.draw(st.integers(0, len(whole) - 1))
    try:
        read = decode_payload(whole[:cut])
    except WireError:
        return
    # Without the list at the end it is what Constellation sends; anything shorter is refused.
    assert read.recipient_keys == ()
    assert cut == len(encode_payload(read)) - 8


@given(payloads(), st.data())
def test_whatever_is_read_is_written_back_alike(payload, data):
    mangled = bytearray(encode_payload(payload))
    mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    try:
        read = decode_payload(bytes(mangled))
    except WireError:
        return
    assert decode_payload(encode_payload(read)) == read

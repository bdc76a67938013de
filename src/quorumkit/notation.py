"""Numbers, amounts of ether, accounts and addresses as people write them, and the YAML they write them in. Pure.

Where there is no doubt what is meant it is taken. What YAML makes of a scalar loses what was typed (an account without
quotes becomes a number, 1e23 one that is not 10²³), so the reader here keeps the text until it is known what it is.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from quorumkit.identity.keystore import checksum_address

WEI_PER = {"wei": 1, "gwei": 10**9, "ether": 10**18, "eth": 10**18}
"""The units of ether that people write."""

_LONGEST = 100
"""Characters of a number: more than any has that a field takes."""

_EXACT = 2**53
"""Up to here every whole number is a float of its own (IEEE 754); beyond, one stands for several."""

_AMOUNT = re.compile(r"(?P<number>[0-9][0-9_.]*)\s*(?P<unit>[A-Za-z]+)")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_EXPONENT = re.compile(r"[0-9]+(\.[0-9]+)?[eE]\+?[0-9]{1,3}")
_DECIMAL = re.compile(r"[1-9][0-9]*(_[0-9]+)*|0")
_ADDRESS = re.compile(r"(?:0x)?(?P<digits>[0-9a-fA-F]{40})")


def whole_number(value: Any) -> Any:
    """The integer that is meant: `0x539`, `1e22` and `5.0` are some. What is none, or is not sure, stays as it is, for
    the field to refuse."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    if not isinstance(value, str) or len(value) > _LONGEST:
        return value
    text = value.strip()
    if _HEX.fullmatch(text):
        return int(text, 16)
    if _EXPONENT.fullmatch(text):
        return _whole(Fraction(text), value)
    return value


def amount_of_wei(value: Any) -> Any:
    """The same for an amount of ether: in wei as a number, which may also be in quotes, or with its unit, such as
    `1000 ether` and `20 gwei`."""
    value = whole_number(value)
    if not isinstance(value, str) or len(value) > _LONGEST:
        return value
    text = value.strip()
    if _DECIMAL.fullmatch(text):
        return int(text)
    match = _AMOUNT.fullmatch(text)
    if match is None or (wei := WEI_PER.get(match["unit"].lower())) is None:
        return value
    try:
        return _whole(Fraction(match["number"]) * wei, value)
    except ValueError:
        return value


def _whole(number: Fraction, otherwise: Any) -> Any:
    return int(number) if number.denominator == 1 else otherwise


def account_address(value: str) -> str:
    """The account's address, as it was written but with its 0x.

    Raises:
        ValueError: it is none, or its capital letters say that it was mistyped (EIP-55).
    """
    match = _ADDRESS.fullmatch(value)
    if match is None:
        raise ValueError(f"{value!r} is not an account address (0x and 40 hexadecimal digits)")
    digits = match["digits"]
    if digits not in (digits.lower(), digits.upper()) and "0x" + digits != checksum_address(digits.lower()):
        raise ValueError(
            f"{value} is mistyped: its capital letters, a checksum (EIP-55), do not fit its digits; "
            "write it in lower-case letters if it is right"
        )
    return "0x" + digits


def distinct_accounts(value: Any) -> Any:
    """A mapping by account, refused where one account stands in it twice, in two spellings.

    Raises:
        ValueError: it does, or a key is a number: then nobody knows what was typed.
    """
    if not isinstance(value, Mapping):
        return value
    seen: dict[str, Any] = {}
    for key in value:
        if isinstance(key, int) and not isinstance(key, bool):
            raise ValueError(f"quote the account: as a number ({key}) its digits are lost; perhaps '0x{key:040x}'")
        if isinstance(key, str) and _ADDRESS.fullmatch(key):
            account = key.lower().removeprefix("0x")
            if account in seen:
                raise ValueError(f"{seen[account]} and {key} are the same account")
            seen[account] = key
    return dict(value)


class _WrittenInt(int):
    """A number, and how it was typed, which is what it is known by."""

    text = ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _WrittenInt) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


class _WrittenFloat(float):
    """The same."""

    text: str


def load_yaml(text: str) -> Any:
    """The value of a YAML 1.2 document without repeated keys. Keys are what was typed; so are numbers that YAML cannot
    hold, such as 1e23.

    Raises:
        ruamel.yaml.error.YAMLError: it is not one.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.constructor import SafeConstructor

    class Constructor(SafeConstructor):
        """Keeps what was typed."""

    def written_int(constructor: SafeConstructor, node: Any) -> Any:
        number = _WrittenInt(constructor.construct_yaml_int(node))
        number.text = node.value
        return number

    def written_float(constructor: SafeConstructor, node: Any) -> Any:
        number = _WrittenFloat(constructor.construct_yaml_float(node))
        number.text = node.value
        return number

    Constructor.add_constructor("tag:yaml.org,2002:int", written_int)
    Constructor.add_constructor("tag:yaml.org,2002:float", written_float)
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Constructor
    return _plain(yaml.load(text))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        result: dict[Any, Any] = {}
        for key, part in value.items():
            typed = key.text if isinstance(key, (_WrittenInt, _WrittenFloat)) else key
            if typed in result:
                raise _repeated(typed)
            result[typed] = _plain(part)
        return result
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, _WrittenInt):
        return int(value)
    if isinstance(value, _WrittenFloat):
        return whole if isinstance(whole := whole_number(value.text), int) else float(value)
    return value


def _repeated(key: object) -> Exception:
    from ruamel.yaml.constructor import DuplicateKeyError

    return DuplicateKeyError(problem=f'found duplicate key "{key}"')


def is_literal_address(host: str) -> bool:
    """Whether `host` is an IP address and not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

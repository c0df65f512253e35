"""The limits of the catalog's values, and the validators and converters that hold them.

Every limit has a name and a reason; every refusal names the field, what it got and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from attrs import Attribute

NAME_CHARS_MAX = 255
"""Length of a node, service or check name: what DNS allows for a whole domain name."""
TAGS_MAX = 64
META_PAIRS_MAX = 64
META_KEY_CHARS_MAX = 128
META_VALUE_CHARS_MAX = 512
CHECKS_MAX = 16
"""Checks of one service."""
OUTPUT_CHARS_MAX = 4096
"""A check's output is cut here, as Consul does: a registry is no place for logs."""
KEY_CHARS_MAX = 1024
VALUE_BYTES_MAX = 512 * 1024
"""A key's value: Consul's limit, so that one entry stays well under a snapshot chunk."""
INTERVAL_SECONDS_MIN = 0.01
DURATION_SECONDS_MAX = 366 * 86400.0
LOCK_DELAY_SECONDS_MAX = 60.0
"""Longer would keep a lock from everybody for the sake of one slow holder; Consul's limit."""
SESSION_SECONDS_MAX = 86400.0
"""A session's longest TTL: Consul's."""
COORDINATE_DIMENSIONS_MAX = 16
WEIGHT_MAX = 65535
"""An SRV record's weight has 16 bits."""
WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - refused below, not bound


def check_name(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is no name: spaces, unprintables, nothing, too much."""
    if not isinstance(value, str):
        raise TypeError(f"{_where(self, attribute)} must be a str, not {value!r}")
    if not 0 < len(value) <= NAME_CHARS_MAX or not value.isprintable() or " " in value:
        raise ValueError(
            f"{_where(self, attribute)} must be 1 to {NAME_CHARS_MAX} printable characters "
            f"without spaces, not {value[:300]!r}"
        )


def check_id(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is neither empty (for: choose one) nor a name."""
    if value != "":
        check_name(self, attribute, value)


def check_address(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is neither empty nor a place that others can connect to."""
    check_id(self, attribute, value)
    if value in WILDCARDS:
        raise ValueError(
            f"{_where(self, attribute)} {value!r} is an address to listen on, not one to connect "
            f"to; give the address that others reach"
        )


def check_port(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is no port; 0 stands for none."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{_where(self, attribute)} must be an int, not {value!r}")
    if not 0 <= value <= 65535:
        raise ValueError(f"{_where(self, attribute)} must be 0 (none) to 65535, not {value}")


def check_interval(self: object, attribute: Attribute[Any], value: float | None) -> None:
    """Refuse durations that would spin or never end; `None` passes."""
    if value is not None and not INTERVAL_SECONDS_MIN <= value <= DURATION_SECONDS_MAX:
        raise ValueError(
            f"{_where(self, attribute)} must be {INTERVAL_SECONDS_MIN} seconds to 366 days, "
            f"not {value} s"
        )


def check_ttl(self: object, attribute: Attribute[Any], value: float | None) -> None:
    """Refuse lifetimes of sessions beyond a day; `None`: for ever."""
    check_interval(self, attribute, value)
    if value is not None and value > SESSION_SECONDS_MAX:
        raise ValueError(
            f"{_where(self, attribute)} must be at most {SESSION_SECONDS_MAX:g} seconds, a day, "
            f"not {value} s"
        )


def check_lock_delay(self: object, attribute: Attribute[Any], value: float) -> None:
    """Refuse delays that would keep a lock from everybody for long; 0 is none."""
    if not 0 <= value <= LOCK_DELAY_SECONDS_MAX:
        raise ValueError(
            f"{_where(self, attribute)} must be 0 to {LOCK_DELAY_SECONDS_MAX:g} seconds, "
            f"not {value} s"
        )


def check_weight(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse weights that no SRV record can carry."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= WEIGHT_MAX:
        raise ValueError(f"{_where(self, attribute)} must be 0 to {WEIGHT_MAX}, not {value!r}")


def check_index(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is no index to compare with; `None`: do not compare."""
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ValueError(
            f"{_where(self, attribute)} must be None (always), 0 (if absent) or an index, "
            f"not {value!r}"
        )


def check_threshold(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse counts that make no sense as "so many in a row"."""
    if value is None and attribute.default is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1000:
        raise ValueError(f"{_where(self, attribute)} must be a count of 1 to 1000, not {value!r}")


def check_text(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is no text."""
    if not isinstance(value, str):
        raise TypeError(f"{_where(self, attribute)} must be a str, not {value!r}")


def check_names(self: object, attribute: Attribute[Any], value: tuple[object, ...]) -> None:
    """Refuse too many names, and what is none."""
    if len(value) > CHECKS_MAX:
        raise ValueError(f"{_where(self, attribute)}: {len(value)} names, at most {CHECKS_MAX}")
    for name in value:
        check_name(self, attribute, name)


def check_numbers(self: object, attribute: Attribute[Any], value: tuple[object, ...]) -> None:
    """Refuse a vector that is too long, or holds what is no finite number."""
    if len(value) > COORDINATE_DIMENSIONS_MAX:
        raise ValueError(
            f"{_where(self, attribute)}: {len(value)} dimensions, at most "
            f"{COORDINATE_DIMENSIONS_MAX}"
        )
    for number in value:
        check_number(self, attribute, number)


def check_number(self: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what is no finite float."""
    if not isinstance(value, float) or not math.isfinite(value):
        raise ValueError(f"{_where(self, attribute)} must be a finite float, not {value!r}")


def check_tags(self: object, attribute: Attribute[Any], value: tuple[object, ...]) -> None:
    """Refuse too many tags, and tags that are no names."""
    if len(value) > TAGS_MAX:
        raise ValueError(f"{_where(self, attribute)}: {len(value)} tags, at most {TAGS_MAX}")
    for tag in value:
        check_name(self, attribute, tag)


def check_meta(self: object, attribute: Attribute[Any], value: Mapping[object, object]) -> None:
    """Refuse metadata that is not a small mapping of str to str."""
    where = _where(self, attribute)
    if len(value) > META_PAIRS_MAX:
        raise ValueError(f"{where} has {len(value)} pairs, at most {META_PAIRS_MAX} are kept")
    for key, text in value.items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"{where} must map str to str, not {key!r} to {text!r}")
        if not 0 < len(key) <= META_KEY_CHARS_MAX or len(text) > META_VALUE_CHARS_MAX:
            raise ValueError(
                f"{where}[{key[:40]!r}]: keys have 1 to {META_KEY_CHARS_MAX} characters, values "
                f"at most {META_VALUE_CHARS_MAX}"
            )


def _where(self: object, attribute: Attribute[Any]) -> str:
    return f"{type(self).__name__}.{attribute.name}"


def seconds(value: object) -> Any:
    """Take an int or a float as float seconds; `None` stays."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"a duration must be a number of seconds, not {value!r}")
    if not math.isfinite(value):
        raise ValueError(f"a duration must be finite, not {value}")
    return float(value)


def strings(value: object) -> tuple[Any, ...]:
    """Take several strings as a tuple; one string is a mistake, not several letters."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise TypeError(f"expected several strings, as in ('blue', 'v2'), not {value!r}")
    return tuple(value)


EMPTY: Mapping[str, Any] = MappingProxyType({})
"""One for all: most mappings are empty."""


def floats(value: Iterable[float]) -> tuple[float, ...]:
    """Take several numbers as a tuple of floats."""
    return tuple(
        float(one) if isinstance(one, int) and not isinstance(one, bool) else one for one in value
    )


def sealed(value: Mapping[str, str]) -> Mapping[str, str]:
    """Copy, sort and seal texts by name; see `sealed_values`."""
    return sealed_values(value)


def sealed_values(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Copy, sort and seal: equal mappings then encode to equal bytes, and nobody edits ours."""
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping by name, not {value!r}")
    if not value:
        return EMPTY
    try:
        return MappingProxyType(dict(sorted(value.items())))
    except TypeError:
        return MappingProxyType(dict(value))  # keys of mixed types: the validator says it better


def clip(output: str) -> str:
    """Cut a check's output to `OUTPUT_CHARS_MAX`."""
    return output[:OUTPUT_CHARS_MAX] if isinstance(output, str) else output


def check_key(_self: object, _attribute: Attribute[Any], value: object) -> None:
    """Refuse keys that are empty, too long or no text."""
    if not isinstance(value, str):
        raise TypeError(f"a key must be a str, not {value!r}")
    if not 0 < len(value) <= KEY_CHARS_MAX:
        raise ValueError(f"a key has 1 to {KEY_CHARS_MAX} characters, not {len(value)}")


def check_value(_self: object, _attribute: Attribute[Any], value: object) -> None:
    """Refuse values that are too big or no bytes."""
    if not isinstance(value, bytes):
        raise TypeError(f"a value must be bytes, not {type(value).__name__}")
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(
            f"a value has at most {VALUE_BYTES_MAX} bytes, not {len(value)}; keep it in a store "
            f"for big things and put its address here"
        )


def check_flags(_self: object, _attribute: Attribute[Any], value: object) -> None:
    """Refuse flags that do not fit 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
        raise ValueError(f"flags must be an unsigned 64-bit int, not {value!r}")

"""Commands and values as bytes: CBOR (RFC 8949) on the outside, nothing coerced on the inside.

A log entry outlives the process that wrote it and a peer may run anything, so decoding believes
nothing: the text "5" is not the number 5, `True` is not 1, a string is not a sequence of letters,
an unknown field is not skipped, and bytes after the value are not ignored.
Whatever is wrong, the caller sees one `ProtocolError`.
Skipping an unknown field would be worse than refusing it: replicas of two versions would keep
different states from the same log.

A value of a union carries its tag (`"type"`), and the tags are written out below: they are in
people's logs, so renaming a class must not change them.
Encoding is canonical (RFC 8949 section 4.2): equal values give equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar, cast, get_args, get_origin, overload

import cbor2
from cattrs import BaseConverter
from cattrs.preconf.cbor2 import Cbor2Converter, make_converter
from cattrs.strategies import configure_tagged_union

from catalog import commands, model, steps
from catalog.answers import Value
from catalog.commands import Command, Operation, Step
from catalog.errors import ProtocolError
from catalog.model import Check, ServiceAddress, Update

__all__ = ["COMMAND_BYTES_MAX", "MESSAGE_BYTES_MAX", "decode", "dumps", "encode", "loads"]

T = TypeVar("T")

COMMAND_BYTES_MAX: Final = 1024 * 1024
"""One command, as a log entry: the biggest value (512 KiB) and room for a batch beside it."""
MESSAGE_BYTES_MAX: Final = 16 * 1024 * 1024
"""Any other value, as a message between agents: a view of some 30,000 instances."""

TAGS: Final = {
    commands.RegisterNode: "register-node",
    commands.DeregisterNode: "deregister-node",
    commands.RegisterService: "register-service",
    commands.DeregisterService: "deregister-service",
    commands.RegisterCheck: "register-check",
    commands.DeregisterCheck: "deregister-check",
    commands.SetCheck: "set-check",
    commands.SetNodeHealth: "set-node-health",
    commands.PutKey: "put-key",
    commands.Acquire: "acquire",
    commands.Release: "release",
    commands.DeleteKey: "delete-key",
    commands.CreateSession: "create-session",
    commands.DestroySession: "destroy-session",
    commands.SetQuery: "set-query",
    commands.DeleteQuery: "delete-query",
    commands.SetCoordinates: "set-coordinates",
    commands.Batch: "batch",
    commands.Transaction: "transaction",
    steps.ReadKey: "read-key",
    steps.ReadTree: "read-tree",
    steps.ReadNode: "read-node",
    steps.ReadService: "read-service",
    steps.ReadCheck: "read-check",
    steps.ExpectIndex: "expect-index",
    steps.ExpectHolder: "expect-holder",
    steps.ExpectAbsent: "expect-absent",
    model.TtlCheck: "ttl",
    model.HttpCheck: "http",
    model.TcpCheck: "tcp",
    model.UdpCheck: "udp",
    model.GrpcCheck: "grpc",
    model.ScriptCheck: "script",
    model.AliasCheck: "alias",
    model.View: "view",
    model.Delta: "delta",
    model.KeyValue: "key",
    model.NodeView: "node",
    model.Instance: "instance",
    model.NodeCheck: "check",
}


def encode(command: Command) -> bytes:
    """Return a command as the payload of a log entry; raise `ProtocolError` if it is too big."""
    return dumps(command, Command, bytes_max=COMMAND_BYTES_MAX)


def decode(payload: bytes) -> Command:
    """Return the command in a log entry; raise `ProtocolError` if there is none."""
    return cast("Command", loads(payload, Command, bytes_max=COMMAND_BYTES_MAX))


def dumps(value: object, kind: Any = None, *, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """Return a value of the model as canonical bytes.

    Args:
        value: anything built from the values of `catalog.model` and `catalog.commands`.
        kind: what the reader will ask for; needed only where that is a union or a container.
        bytes_max: refuse to make more bytes than this.

    Raises:
        ProtocolError: the value is too big, or holds text that is not Unicode.

    """
    try:
        plain = CONVERTER.unstructure(value, unstructure_as=kind)
        data = cbor2.dumps(plain, canonical=True)
    except (cbor2.CBORError, ValueError) as error:
        raise ProtocolError(f"cannot encode {_name(value.__class__)}: {error}") from error
    if len(data) > bytes_max:
        raise ProtocolError(
            f"{_name(value.__class__)} takes {len(data)} bytes, at most {bytes_max} may be sent; "
            f"nothing was sent: split it, or make it smaller"
        )
    return data


@overload
def loads(data: bytes, kind: type[T], *, bytes_max: int = MESSAGE_BYTES_MAX) -> T: ...
@overload
def loads(data: bytes, kind: Any, *, bytes_max: int = MESSAGE_BYTES_MAX) -> Any: ...
def loads(data: bytes, kind: Any, *, bytes_max: int = MESSAGE_BYTES_MAX) -> Any:
    """Return the value of this type in `data`.

    Raises:
        ProtocolError: `data` is not exactly one such value.

    """
    if len(data) > bytes_max:
        raise ProtocolError(f"{len(data)} bytes for {_name(kind)}, at most {bytes_max} are read")
    stream = io.BytesIO(data)
    try:
        value = CONVERTER.structure(cbor2.load(stream), kind)
    except Exception as error:
        # cbor2, cattrs and our own constructors raise what they like about bad input, and a
        # decoder that lets one of them through stops a replica: so all of them mean the same.
        raise ProtocolError(f"not a valid {_name(kind)}: {error!r:.500}") from error
    if stream.tell() != len(data):
        raise ProtocolError(f"{len(data) - stream.tell()} bytes too many after {_name(kind)}")
    return value


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", "value")


def _exactly(kind: type) -> Callable[[object, Any], Any]:
    """Return a hook that takes values of this very type, where cattrs' own would convert."""

    def structure(value: object, _: Any) -> Any:
        if value.__class__ is not kind:
            raise TypeError(f"expected {kind.__name__}, not {value!r:.100}")
        return value

    return structure


def _tuple_hook(kind: Any, converter: BaseConverter) -> Callable[[object, Any], Any]:
    """Return a hook for `tuple[X, ...]` and `tuple[X, Y]` that takes arrays only."""
    arguments = get_args(kind)
    if arguments[-1:] != (...,):

        def structure_fixed(value: object, _: Any) -> Any:
            if not isinstance(value, list) or len(value) != len(arguments):
                raise TypeError(f"expected an array of {len(arguments)}, not {value!r:.100}")
            return tuple(map(converter.structure, value, arguments))

        return structure_fixed
    element = arguments[0]

    def structure(value: object, _: Any) -> Any:
        if not isinstance(value, list):
            raise TypeError(f"expected an array, not {value!r:.100}")
        hook = converter.get_structure_hook(element)
        return tuple([hook(item, element) for item in value])

    return structure


def _structure_texts(value: object, _: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"expected a map, not {value!r:.100}")
    return value  # `limits.check_meta` looks at the keys and the values


def _is_tuple(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _is_texts(kind: Any) -> bool:
    return bool(kind == Mapping[str, str])


def _is_addresses(kind: Any) -> bool:
    return bool(kind == Mapping[str, ServiceAddress])


def _addresses_hook(address: Callable[[Any, Any], Any]) -> Callable[[object, Any], Any]:
    def structure(value: object, _: Any) -> Any:
        if not isinstance(value, dict):
            raise TypeError(f"expected a map, not {value!r:.100}")
        return {key: address(one, ServiceAddress) for key, one in value.items()}

    return structure


def _plain_addresses(converter: BaseConverter) -> Callable[[Any], Any]:
    return lambda value: {key: converter.unstructure(one) for key, one in value.items()}


def _is_check_or_none(kind: Any) -> bool:
    return bool(kind == Check | None)


def _converter() -> Cbor2Converter:
    # No detailed validation: it doubles the cost of each entry, and nobody reads the detail.
    converter = make_converter(detailed_validation=False, forbid_extra_keys=True)
    for plain in (int, float, str, bytes, bool):
        converter.register_structure_hook(plain, _exactly(plain))
    converter.register_structure_hook_factory(_is_tuple, _tuple_hook)
    converter.register_structure_hook_func(_is_texts, _structure_texts)
    converter.register_unstructure_hook_func(_is_texts, dict)
    address = converter.gen_structure_attrs_fromdict(ServiceAddress)
    converter.register_structure_hook(ServiceAddress, address)
    converter.register_structure_hook_func(_is_addresses, _addresses_hook(address))
    converter.register_unstructure_hook_func(_is_addresses, _plain_addresses(converter))
    for union in (Check, Operation, Step, Command, Update, Value):
        configure_tagged_union(union, converter, tag_generator=TAGS.__getitem__, tag_name="type")
    hook = converter.get_structure_hook(Check)
    converter.register_structure_hook_func(
        _is_check_or_none,
        lambda value, _: None if value is None else hook(value, Check),
    )
    converter.register_unstructure_hook_func(
        _is_check_or_none,
        lambda value: None if value is None else converter.unstructure(value, Check),
    )
    return converter


CONVERTER: Final = _converter()

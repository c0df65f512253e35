"""Mutual TLS between servers: who calls and who answers are who they say they are.

    dialler:  MAGIC (in clear), then the TLS handshake, then Hello and all that follows inside it

`MAGIC` stays in clear so that one port can still be told apart by its first bytes. Both ends show
a certificate of the common authority, and it must name the server that its Hello names: as a
dNSName or URI among its subject alternative names, spelled exactly alike (wildcards and the common
name count for nothing). So a certificate that the same authority gave to somebody else opens no
connection between servers, and no server can speak in another one's name.

A stream that ends without TLS's goodbye is not treated as an attack: frames have lengths, and a
snapshot has a receipt, so a cut is noticed anyway.
"""

from __future__ import annotations

import ssl
from os import PathLike

import trio
from attrs import field, frozen

from quorum.errors import ConfigError, ProtocolError
from quorum.trio.connection import MAGIC, TLS_HANDSHAKE, SecureStream, read_magic, tune

_ALTERNATIVE_NAMES = "DNS", "URI"


@frozen
class Tls:
    """Files (PEM) that a server shows and checks; read once, when this value is made.

    Certificates are checked when connections are made: one that expires ends none of them. Raise
    `ConfigError` if the files are not there, or do not fit each other.
    """

    certificate: str | PathLike[str]
    """This server's certificate, and those between it and the authority; names as said above."""
    key: str | PathLike[str]
    """Its private key, not encrypted: keep it readable for the server only."""
    authority: str | PathLike[str]
    """The certificate of whoever signs those of all servers; best of an authority of their own."""
    _dialling: ssl.SSLContext = field(init=False, repr=False, eq=False)
    _accepting: ssl.SSLContext = field(init=False, repr=False, eq=False)

    @_dialling.default
    def _make_dialling(self) -> ssl.SSLContext:
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    @_accepting.default
    def _make_accepting(self) -> ssl.SSLContext:
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0  # sessions are not resumed
        return context

    def _context(self, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # names are checked against Hello, not against an address
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            # With a password to try, an encrypted key is an error, not a question to the terminal.
            context.load_cert_chain(self.certificate, self.key, password="")
            context.load_verify_locations(cafile=self.authority)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigError(
                f"TLS cannot be used with certificate {self.certificate}, key {self.key} and "
                f"authority {self.authority}: {error}; nothing was started"
            ) from error
        return context

    async def dial(self, stream: trio.SocketStream, name: str) -> SecureStream:
        """The dialler's side; raise `ProtocolError` unless the server called `name` answers."""
        tune(stream)
        await stream.send_all(MAGIC)
        secure = trio.SSLStream(stream, self._dialling, https_compatible=True)
        await _shake_hands(secure)
        names = certificate_names(secure)
        if name not in names:
            raise ProtocolError(
                f"the certificate there is for {', '.join(names) or 'nobody'}, not for {name}: "
                f"correct the address or the certificate"
            )
        return secure

    async def accept(self, stream: trio.SocketStream) -> SecureStream:
        """The acceptor's side, from the magic on; the name is checked when Hello says it."""
        tune(stream)
        start = await read_magic(stream, len(MAGIC))
        assert start == b"", "no byte behind the magic was read"
        first = await stream.socket.recv(len(TLS_HANDSHAKE), trio.socket.MSG_PEEK)
        if not TLS_HANDSHAKE.startswith(first):
            raise ProtocolError("the caller does not use TLS, this server does: set it up there")
        secure = trio.SSLStream(stream, self._accepting, server_side=True, https_compatible=True)
        await _shake_hands(secure)
        return secure


def certificate_names(stream: SecureStream) -> tuple[str, ...]:
    """Whom the other end's certificate is for."""
    pairs = (stream.getpeercert() or {}).get("subjectAltName", ())
    return tuple(name for kind, name in pairs if kind in _ALTERNATIVE_NAMES)


async def _shake_hands(stream: SecureStream) -> None:
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        cause = error.__cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = f"its certificate is not accepted: {cause.verify_message}"
        elif isinstance(cause, ssl.SSLEOFError) or not isinstance(cause, ssl.SSLError):
            what = "it closed the connection; it may not use TLS, see its log"
        else:
            what = f"{cause.reason or cause}"
        raise ProtocolError(f"no TLS with the other end: {what}") from error

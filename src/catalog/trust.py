"""Mutual TLS between agents: who may connect at all, and who may speak as a server.

    caller:  the protocol's four bytes (in clear), then the TLS handshake, then all the rest inside

Everybody, servers, client agents and users, shows a certificate that the cluster's authority has
signed, and connects to nobody who does not. That makes one of us, and no more. A *server's*
certificate also bears the name `server.<datacenter>.catalog` among its subject alternative names
(dNSName or URI, spelled exactly alike), and the server's own name. Agents give their requests to
such servers only, and consensus takes nobody else at either end: so with a client's certificate
nobody can act as a server, and with a server's nobody can act as another one.

Gossip has keys of its own (`encrypt`), for it goes by datagrams, which TLS does not carry.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TypeAlias

import trio
from attrs import field, frozen

import quorum
from catalog.errors import ConfigError, ProtocolError
from quorum.trio.tls import certificate_names

__all__ = ["Stream", "Trust"]

TLS_HANDSHAKE = b"\x16\x03"
"""How TLS begins (RFC 8446, 5.1)."""

SecureStream: TypeAlias = trio.SSLStream[trio.SocketStream]
Stream: TypeAlias = trio.SocketStream | SecureStream


def server_role(datacenter: str) -> str:
    """Return the name that the certificate of a server there bears."""
    return f"server.{datacenter}.catalog"


@frozen
class ServersOnly(quorum.Tls):
    """TLS for consensus: the other end proves its name, and that it is a server."""

    role: str = ""
    """A name that every server's certificate bears."""

    @property
    def contexts(self) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """What OpenSSL reads the files into."""
        return self._dialling, self._accepting

    async def dial(self, stream: trio.SocketStream, name: str) -> SecureStream:
        """See `quorum.Tls.dial`."""
        secure = await super().dial(stream, name)
        _check_server(secure, self.role)
        return secure

    async def accept(self, stream: trio.SocketStream) -> SecureStream:
        """See `quorum.Tls.accept`."""
        secure = await super().accept(stream)
        _check_server(secure, self.role)
        return secure


@frozen
class Trust:
    """Files (PEM) that an agent or a user shows and checks; read when this value is made.

    A certificate that expires ends no connection, and prevents new ones: see `renew`.

    Raises:
        ConfigError: the files are not there, or do not fit each other.

    """

    ca: Path = field(converter=Path)
    """The certificate of the authority that signs those of all agents and users."""
    cert: Path = field(converter=Path)
    """The certificate to show, and those between it and the authority."""
    key: Path = field(converter=Path)
    """Its private key, not encrypted."""
    datacenter: str = field(default="dc1", kw_only=True)
    _dialling: ssl.SSLContext = field(init=False, repr=False, eq=False)
    _accepting: ssl.SSLContext = field(init=False, repr=False, eq=False)
    _consensus: ServersOnly = field(init=False, repr=False, eq=False)

    @_dialling.default
    def _make_dialling(self) -> ssl.SSLContext:
        return self._context(ssl.PROTOCOL_TLS_CLIENT)

    @_accepting.default
    def _make_accepting(self) -> ssl.SSLContext:
        context = self._context(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = 0  # sessions are not resumed
        return context

    @_consensus.default
    def _make_consensus(self) -> ServersOnly:
        return ServersOnly(self.cert, self.key, self.ca, server_role(self.datacenter))

    def _context(self, side: int) -> ssl.SSLContext:
        context = ssl.SSLContext(side)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # roles are checked, not addresses
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.cert, self.key, password="")
            context.load_verify_locations(cafile=self.ca)
        except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
            raise ConfigError(
                f"TLS cannot be used with tls_ca {self.ca}, tls_cert {self.cert} and tls_key "
                f"{self.key}: {error}; nothing was started"
            ) from error
        return context

    async def dial(self, stream: trio.SocketStream, *, server: bool) -> SecureStream:
        """Go on by TLS, as the caller; raise `ProtocolError` unless it is one of ours there.

        With `server` it must be a server.
        """
        secure = trio.SSLStream(stream, self._dialling, https_compatible=True)
        await _shake_hands(secure)
        if server:
            check_role(secure, server_role(self.datacenter))
        return secure

    async def accept(self, stream: trio.SocketStream) -> SecureStream:
        """Go on by TLS, as the one who was called; raise `ProtocolError` unless it is one of us."""
        secure = trio.SSLStream(stream, self._accepting, server_side=True, https_compatible=True)
        await _shake_hands(secure)
        return secure

    @property
    def for_consensus(self) -> quorum.Tls:
        """What servers show and check among themselves."""
        return self._consensus

    def renew(self) -> None:
        """Read the files again, for the connections to come; authorities are added, never removed.

        Raises:
            ConfigError: they do not fit; the old ones hold.

        """
        Trust(self.ca, self.cert, self.key)
        contexts = (self._dialling, self._accepting, *self._consensus.contexts)
        for context in contexts:
            context.load_cert_chain(self.cert, self.key, password="")
            context.load_verify_locations(cafile=self.ca)


async def begins_with_tls(stream: trio.SocketStream) -> bool:
    """Look whether what comes next is TLS, without taking it."""
    first = await stream.socket.recv(len(TLS_HANDSHAKE), trio.socket.MSG_PEEK)
    return bool(first) and TLS_HANDSHAKE.startswith(first)


def check_role(stream: SecureStream, role: str) -> None:
    """Raise `ProtocolError` unless the other end's certificate bears a name."""
    names = certificate_names(stream)
    if role not in names:
        raise ProtocolError(
            f"the certificate there is for {', '.join(names) or 'nobody'}, not for a server: it "
            f"would bear the name {role}"
        )


def _check_server(stream: SecureStream, role: str) -> None:
    try:
        check_role(stream, role)
    except ProtocolError as error:
        raise quorum.ProtocolError(str(error)) from error


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

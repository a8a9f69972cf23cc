"""A session over SSH: one connection a host, one channel a command, everything as root."""

from __future__ import annotations

import base64
import hashlib
import io
import logging
import shlex
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bootstrap.channel import LOST, Execution, OverrunError, reason
from bootstrap.lean import paramiko
from bootstrap.log import Log
from bootstrap.session import Command, Progress, Result, failure
from bootstrap.waits import SSH_KEY, SSH_UP, Policy, Retry, Waits
from slipway.desired import Connection
from slipway.errors import (
    AuthenticationError,
    CommandError,
    DeadlineError,
    HostKeyError,
    UnreachableError,
)

KEEPALIVE = 15.0
"""seconds between keep-alives; a peer that acknowledges nothing for twice as long counts as lost"""
SILENCE = 5.0
"""seconds without an acknowledgement after which a host that is expected to go down counts as down"""
ATTEMPT = 10.0
"""seconds for one attempt to connect: TCP, banner, key exchange, each"""
CHUNK = 1 << 20
"""bytes read from a file at a time; paramiko cuts it into packets"""

# Fast ones first: the GCM modes need no separate MAC and run on the CPU's AES instructions.
CIPHERS = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr")
KEY_CLASSES: tuple[type[paramiko.PKey], ...] = (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey)
# paramiko logs tracebacks of every refused connection; with no handler at all Python would print them.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


def connect(
    connection: Connection,
    log: Log,
    cancel: threading.Event,
    *,
    deadline: float = SSH_UP.deadline,
    keepalive: float = KEEPALIVE,
    waits: Waits | None = None,
) -> SshSession:
    """Connects as `connection` says, waiting for SSH to come up for at most `deadline` seconds.

    Raises `UnreachableError`, `HostKeyError` (never retried), `AuthenticationError` or `CancelledError`.
    """
    session = SshSession(connection, log, waits or Waits(cancel), keepalive)
    session.reconnect(deadline)
    return session


class SshSession:
    """The real `Session`. Made by `connect`; a context manager that closes the connection."""

    def __init__(self, connection: Connection, log: Log, waits: Waits, keepalive: float) -> None:
        self.name = connection.name
        self.pinned_host_key = ""
        """the key line actually seen, "type base64", to be pinned under `accept-new`"""
        self._connection = connection
        self._log = log
        self._waits = waits
        self._keepalive = keepalive
        self._key = _private_key(connection)
        self._secrets: list[str] = []
        self._transport: paramiko.Transport | None = None

    def __enter__(self) -> SshSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._transport is not None:
            _drop(self._transport)
            self._transport = None

    def until_lost(self, deadline: float) -> None:
        transport = self._transport
        if transport is None:
            return
        # Only who sends learns that nobody is there: a machine that went down says nothing, and one that came up again
        # answers what we send on the old connection with a reset.
        transport.set_keepalive(1)
        if isinstance(transport.sock, socket.socket):
            transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SILENCE * 1000))
        end = time.monotonic() + deadline
        while transport.is_active() and time.monotonic() < end:
            self._waits.pause(0.2)

    def mask(self, secret: str) -> None:
        if secret and secret not in self._secrets:
            self._secrets.append(secret)

    # ---- connecting

    def reconnect(self, deadline: float, policy: Policy = SSH_UP) -> None:
        """Drops the connection, if any, and waits for a new one for at most `deadline` seconds."""
        self.close()
        where = self._connection.address

        def tell(error: Exception, waited: float) -> None:
            self._log.progress(
                f"{self.name}: waiting for SSH at {where} for {waited:.0f} s ({getattr(error, 'what', error)})"
            )

        transport = self._waits.until(policy, self._shake_hands, deadline=deadline, on_wait=tell)
        try:
            self._waits.until(SSH_KEY, lambda: self._authenticate(transport), on_wait=tell)
        except BaseException:
            _drop(transport)
            raise
        transport.set_keepalive(max(1, int(self._keepalive)))
        self._transport = transport

    def _shake_hands(self) -> paramiko.Transport:
        """TCP, banner, key exchange, and the host's key checked. `Retry` for whatever may be a host still booting."""
        address, port, pinned = self._connection.address, self._connection.port, self._pinned()
        try:
            sock = socket.create_connection((address, port), timeout=ATTEMPT)
        except OSError as error:
            raise Retry(self._unreachable(f"no SSH at {address}:{port}: {reason(error)}")) from error
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # paramiko's keep-alive sends but never looks for an answer; the kernel does the looking.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self._keepalive * 2000))
        transport = paramiko.Transport(sock)
        try:
            options = transport.get_security_options()
            options.ciphers = [name for name in CIPHERS if name in options.ciphers]
            if pinned:
                kind = pinned.split()[0]
                options.key_types = ["rsa-sha2-512", "rsa-sha2-256"] if kind == "ssh-rsa" else [kind]
            transport.banner_timeout = transport.auth_timeout = ATTEMPT
            transport.start_client(timeout=ATTEMPT)
            self._check_host_key(transport, pinned)
        except paramiko.ssh_exception.IncompatiblePeer as error:
            _drop(transport)
            raise HostKeyError(
                f"the host offers no {pinned.split()[0] if pinned else 'known'} host key: {error}",
                where=self.name,
                fix="It is not the host that the plan knows, or its key was replaced by one of another type; "
                "see `host_key` in the stack file.",
            ) from error
        except LOST as error:
            _drop(transport)
            raise Retry(self._unreachable(f"no SSH at {address}:{port}: {reason(error)}")) from error
        except BaseException:
            _drop(transport)
            raise
        return transport

    def _pinned(self) -> str:
        """The key line this host must have; empty where `accept-new` has seen none yet."""
        pinned = self._connection.host_key or self.pinned_host_key
        if not pinned and self._connection.host_key_policy != "accept-new":
            raise HostKeyError(
                "no host key is known for it",
                where=self.name,
                fix="Give `host_key` (`ssh-keyscan` on a trusted way prints it), or set `host_key_policy: accept-new`.",
            )
        return pinned

    def _check_host_key(self, transport: paramiko.Transport, pinned: str) -> None:
        seen = transport.get_remote_server_key()
        line = f"{seen.get_name()} {seen.get_base64()}"
        if not pinned:
            self._log.warning(f"{self.name}: host key {fingerprint(line)} accepted on first sight, and pinned")
        elif pinned.split()[:2] != line.split():
            raise HostKeyError(
                f"its host key is {fingerprint(line)}, but the plan knows {fingerprint(pinned)}",
                where=f"{self.name} ({self._connection.address}:{self._connection.port})",
                fix="Either another machine answers there, or the host was reinstalled. Nothing was sent to it. "
                "If it was reinstalled on purpose, put its new key in the stack file as `host_key`.",
            )
        self.pinned_host_key = line

    def _authenticate(self, transport: paramiko.Transport) -> None:
        connection = self._connection
        try:
            if not transport.is_active():
                raise EOFError("connection closed")
            transport.auth_publickey(connection.user, self._key)
        except paramiko.AuthenticationException as error:
            raise Retry(
                AuthenticationError(
                    f"the host refuses our key {fingerprint(_line(self._key))} for user {connection.user!r}",
                    where=f"{self.name} ({connection.address}:{connection.port})",
                    fix=f"Add its public half to ~{connection.user}/.ssh/authorized_keys there, or give the right key.",
                )
            ) from error
        except LOST as error:
            raise self._lost("logging in", error) from error

    # ---- commands

    def run(self, command: Command) -> Result:
        self._waits.check(self.name)
        return self._execute(command, [] if command.stdin is None else [command.stdin])

    def put(self, path: str, content: bytes, mode: int = 0o644, owner: str = "root:root") -> None:
        target, folder = shlex.quote(path), shlex.quote(str(Path(path).parent))
        self.run(
            Command(
                f"set -e; umask 077; mkdir -p -m 0755 {folder}; t=$(mktemp {target}.XXXXXX); trap 'rm -f \"$t\"' EXIT; "
                f'cat > "$t"; chown {shlex.quote(owner)} "$t"; chmod {mode:04o} "$t"; sync "$t"; mv -f "$t" {target}',
                why=f"write {path}",
                stdin=content,
                secret=True,
            )
        )

    def upload(self, local: Path, remote: str, sha256: str, progress: Progress | None = None) -> None:
        digest = sha256.removeprefix("sha256:")
        total = local.stat().st_size
        part, target = shlex.quote(f"{remote}.{digest[:16]}.part"), shlex.quote(remote)
        look = Command(
            f"mkdir -p {shlex.quote(str(Path(remote).parent))}; "
            f'if [ "$(sha256sum {target} 2>/dev/null | cut -c1-64)" = {digest} ]; then echo done; '
            f"else stat -c %s {part} 2>/dev/null || echo 0; fi",
            why=f"see how much of {remote} is there",
            deadline=600,
        )
        there = self.run(look).stdout.strip()
        if there == "done":
            return
        found = ""
        # What an earlier run left may be damaged: then a second try, from nothing.
        for offset in dict.fromkeys((int(there) if int(there) <= total else 0, 0)):
            send = Command(
                f"set -e; truncate -s {offset} {part}; cat >> {part}; d=$(sha256sum {part} | cut -c1-64); echo $d; "
                f"if [ $d = {digest} ]; then sync {part}; mv -f {part} {target}; else rm -f {part}; fi",
                why=f"send {local.name}",
                deadline=max(600.0, total / 250_000),  # a 2 Mbit/s uplink is the slowest we wait for
            )
            with local.open("rb") as file:
                file.seek(offset)
                found = self._execute(send, _chunks(file, offset, total, progress)).stdout.strip()
            if found == digest:
                return
        raise CommandError(
            f"{local.name} arrived at {remote} with digest {found}, expected {digest}",
            where=self.name,
            fix=f"Check the file here (`sha256sum {local}`); if it is damaged, remove it and run `up` again.",
        )

    def _execute(self, command: Command, stdin: Iterable[bytes]) -> Result:
        try:
            if self._transport is None:
                raise EOFError
            execution = Execution(
                self._transport, command, self._waits, sudo=self._sudo(), sink=self._line_sink(command)
            )
            try:
                execution.feed(stdin)
                execution.finish()
            finally:
                execution.close()
        except OverrunError:
            raise self._overrun(command, "") from None
        except LOST as error:
            raise self._lost(command.why, error) from error
        return self._judge(command, execution)

    def _judge(self, command: Command, execution: Execution) -> Result:
        """The result of an ended command, or the error it amounts to."""
        status, seconds = execution.status, execution.seconds
        if status == -1:
            time.sleep(0.2)  # a connection that breaks closes the channel a moment before it counts as gone
            if not self._alive():
                raise self._lost(command.why)
            status = 137
        out, err = map(self._masked, execution.output)
        result = Result(status, out, err, seconds)
        if status in (124, 137) and seconds >= command.deadline:
            raise self._overrun(command, "" if command.secret else result.output)
        if not execution.wrapped and "sudo:" in err:
            raise AuthenticationError(
                f"user {self._connection.user!r} may not become root: {err.strip().splitlines()[-1]}",
                where=self.name,
                fix="Allow it in /etc/sudoers.d (`NOPASSWD: ALL`), or connect as root.",
            )
        if command.check and status != 0:
            raise failure(self.name, command, result)
        return result

    def _sudo(self) -> str:
        return "" if self._connection.user == "root" else "sudo -n"

    def _line_sink(self, command: Command) -> Callable[[str], None] | None:
        if not command.stream or command.secret:
            return None
        return lambda line: self._log.progress(f"{self.name}: {self._masked(line)}")

    def _masked(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[secret]")
        return text

    def _alive(self) -> bool:
        return self._transport is not None and self._transport.is_active()

    def _overrun(self, command: Command, output: str) -> DeadlineError:
        tail = "\n".join(output.splitlines()[-5:])
        return DeadlineError(
            f"not done after {command.deadline:g} s: {command.why}" + (f"; last output:\n{tail}" if tail else ""),
            where=self.name,
            fix="It was ended there. See what holds it up on the host, then run `up` again.",
        )

    def _unreachable(self, what: str) -> UnreachableError:
        return UnreachableError(
            what, where=self.name, fix="Check that the host is up and that a firewall lets us through to its SSH port."
        )

    def _lost(self, why: str, error: Exception | None = None) -> UnreachableError:
        saved = self._transport.get_exception() if self._transport is not None else None
        how = reason(error or saved or EOFError())
        return UnreachableError(
            f"connection to {self._connection.address}:{self._connection.port} lost while: {why} ({how})",
            where=self.name,
            fix="Run `up` again once the host answers; it goes on from there.",
        )


def _drop(transport: paramiko.Transport) -> None:
    """Closes the connection. paramiko leaves the socket open when the other side ended it first."""
    transport.close()
    transport.sock.close()


def fingerprint(line: str) -> str:
    """An OpenSSH key line's type and SHA-256 fingerprint, as ssh-keygen -l prints it."""
    kind, data = line.split()[:2]
    digest = base64.b64encode(hashlib.sha256(base64.b64decode(data)).digest()).decode().rstrip("=")
    return f"{kind} SHA256:{digest}"


def _line(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.get_base64()}"


def _chunks(file: io.BufferedReader, offset: int, total: int, progress: Progress | None) -> Iterator[bytes]:
    done = offset
    while chunk := file.read(CHUNK):
        yield chunk
        done += len(chunk)
        if progress:
            progress(done, total)


def _private_key(connection: Connection) -> paramiko.PKey:
    for kind in KEY_CLASSES:
        try:
            return kind.from_private_key(io.StringIO(connection.private_key))
        except (paramiko.SSHException, ValueError, IndexError, UnicodeDecodeError):
            continue
    raise AuthenticationError(
        "the private key given for it cannot be read",
        where=connection.name,
        fix="Give an OpenSSH private key without a passphrase (ed25519, ECDSA or RSA).",
    )

"""One command on one channel of an SSH connection: started in a process group of its own, fed, read, ended.

Each command runs under `timeout`, so that its deadline holds on the host itself: a lost connection leaves nothing
running past it. The wrapper tells the group's number first, and a cancel or an overrun ends that group through a second
channel.
"""

from __future__ import annotations

import select
import shlex
import time
from collections.abc import Callable, Iterable

from bootstrap.lean import paramiko
from bootstrap.session import Command
from bootstrap.waits import Waits

KILL_AFTER = 5
"""seconds between SIGTERM and SIGKILL for a command past its deadline"""
GRACE = 10.0
"""seconds past a command's deadline after which we no longer trust the host to end it itself"""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PID_LINE = "slipway-pid "
# $0 is the script, $1 its deadline. `exec` keeps the number that was told, and timeout makes it a process group.
WRAPPER = (
    f'echo "{PID_LINE}$$" >&2; export LC_ALL=C.UTF-8 PATH={PATH}; exec timeout -k {KILL_AFTER} "$1" /bin/sh -c "$0"'
)
LOST = (paramiko.SSHException, EOFError, OSError)
"""what paramiko raises when the connection is gone"""


class OverrunError(Exception):
    """The command ran past its deadline and was ended."""


class Execution:
    """One running command. Raises one of `LOST` when the connection breaks, `CancelledError` when the run is cancelled.

    `sudo` is put before the command ("sudo -n", or nothing for root); `sink` hears each line of output.
    """

    def __init__(
        self,
        transport: paramiko.Transport,
        command: Command,
        waits: Waits,
        *,
        sudo: str = "",
        sink: Callable[[str], None] | None = None,
    ) -> None:
        self._transport = transport
        self._command = command
        self._waits = waits
        self._sudo = sudo
        self._started = time.monotonic()
        self._channel = transport.open_session(timeout=10)
        self._start(self._channel, ["/bin/sh", "-c", WRAPPER, command.script, f"{command.deadline:.3f}"])
        self._reader = _Reader(self._channel, sink)

    @property
    def status(self) -> int:
        """The exit status; -1 when none came, because the connection broke or a signal ended the process."""
        return self._channel.exit_status

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._started

    @property
    def wrapped(self) -> bool:
        """Whether the wrapper got to run: False when sudo or the login shell stood in the way."""
        return self._reader.group is not None

    @property
    def output(self) -> tuple[str, str]:
        """Standard output and standard error so far."""
        return self._reader.text(0), self._reader.text(1)

    def _start(self, channel: paramiko.Channel, argv: list[str]) -> None:
        channel.exec_command(f"{self._sudo} {shlex.join(argv)}".lstrip())

    def feed(self, chunks: Iterable[bytes]) -> None:
        """Sends standard input. A command that ends before it has read all of it is judged by its exit status."""
        self._channel.settimeout(0.1)
        for chunk in chunks:
            view = memoryview(chunk)
            while view and not self._channel.exit_status_ready():
                self._mind_the_end()
                self._reader.read()  # else a command that answers while it reads would wait for us, and we for it
                try:
                    view = view[self._channel.send(view) :]  # type: ignore[arg-type]  # any buffer will do
                except TimeoutError:
                    continue  # it has taken nothing for a moment
                except OSError:
                    if self._transport.is_active() and self._channel.closed:
                        return  # the command closed its input
                    raise

    def finish(self) -> None:
        """Ends the input and reads until the command has ended.

        Ends the command when the run is cancelled, or when it is long past its deadline (`OverrunError`).
        """
        self._channel.shutdown_write()
        poll = select.poll()
        poll.register(self._channel.fileno(), select.POLLIN)
        ended: float | None = None
        while not self._channel.closed and self._transport.is_active():
            self._reader.read()
            if self._channel.exit_status_ready():
                ended = ended or time.monotonic()
                # A process left behind may hold the pipes open for as long as it lives.
                if self._channel.eof_received or time.monotonic() - ended > 1:
                    break
            self._mind_the_end()
            if self._channel.eof_received:
                self._channel.status_event.wait(0.05)
            else:
                poll.poll(100)
        self._reader.finish()

    def _mind_the_end(self) -> None:
        """Ends the command when the run is cancelled, or when the host did not end it at its deadline."""
        if self._waits.cancel.is_set() and self._command.interruptible:
            self.kill()
            self._waits.check()
        if self.seconds > self._command.deadline + KILL_AFTER + GRACE:
            self.kill()
            raise OverrunError

    def kill(self) -> None:
        """Ends the remote process group: TERM, a second, KILL."""
        group = self._reader.wait_for_group(5)
        if group is None:
            return
        script = (
            f"kill -TERM -{group}; i=0; while kill -0 -{group} && [ $i -lt 10 ]; do sleep 0.1; i=$((i+1)); done; "
            f"kill -KILL -{group}"
        )
        try:
            channel = self._transport.open_session(timeout=5)
            self._start(channel, ["/bin/sh", "-c", script])
            channel.status_event.wait(5)
            channel.close()
        except LOST:
            return  # a host that is gone ends it by the deadline it was given

    def close(self) -> None:
        self._channel.close()


class _Reader:
    """Collects a channel's two streams, takes the process group's number off the second, hands lines on."""

    def __init__(self, channel: paramiko.Channel, sink: Callable[[str], None] | None) -> None:
        self._channel = channel
        self._sink = sink
        self._streams = (bytearray(), bytearray())
        self._told = [0, 0]
        self.group: int | None = None

    def read(self) -> None:
        """Takes what has come so far, without waiting."""
        while self._channel.recv_ready():
            self._streams[0].extend(self._channel.recv(1 << 18))
        while self._channel.recv_stderr_ready():
            self._streams[1].extend(self._channel.recv_stderr(1 << 18))
        if self.group is None and b"\n" in self._streams[1]:
            first, _, rest = bytes(self._streams[1]).partition(b"\n")
            if first.startswith(PID_LINE.encode()):
                self.group = int(first[len(PID_LINE) :])
                self._streams[1][:] = rest
        self._tell(to_the_end=False)

    def finish(self) -> None:
        """Takes the rest of an ended channel."""
        self.read()
        self._tell(to_the_end=True)

    def wait_for_group(self, seconds: float) -> int | None:
        """The process group's number, once the wrapper has told it."""
        until = time.monotonic() + seconds
        while self.group is None and time.monotonic() < until and not self._channel.closed:
            self.read()
            time.sleep(0.02)
        return self.group

    def _tell(self, *, to_the_end: bool) -> None:
        if self._sink is None:
            return
        for index, stream in enumerate(self._streams):
            end = len(stream) if to_the_end else stream.rfind(b"\n") + 1
            if end > self._told[index]:
                for line in bytes(stream[self._told[index] : end]).decode(errors="replace").splitlines():
                    if line.strip():
                        self._sink(line.rstrip())
                self._told[index] = end

    def text(self, index: int) -> str:
        return self._streams[index].decode(errors="replace")


def reason(error: Exception) -> str:
    """What went wrong with a connection, in the words of a person."""
    if isinstance(error, TimeoutError):
        return "no answer"
    if isinstance(error, EOFError):
        return "connection closed"
    if isinstance(error, paramiko.ssh_exception.NoValidConnectionsError):
        return "connection refused"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).strip().rstrip(".").lower() or type(error).__name__

"""Machines of a Ray cluster on this one: each has its own network, address, host name, processes and folder."""

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 120.0
"""Longest wait for a machine to join."""

AS_MACHINE = (
    'hostname "$1" && mount --bind "$2/machines/$1" "$2/own" && '
    'for hidden in $3; do mount --bind "$2/empty" "$hidden" || exit; done && shift 3 && exec "$@"'
)
"""What a machine does first: it takes its name, sees its own folder as `own`, and does not see some folders."""


class NotAllowedError(Exception):
    """This system does not let a test make machines. The text says why."""


@dataclass
class Machine:
    """A machine. process: when it is killed, all processes of the machine are."""

    name: str
    address: str
    folder: Path
    log: Path
    process: "subprocess.Popen[bytes]"

    def command(self, *words: str) -> list[str]:
        """Return the command that runs these words on the machine."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text("utf-8").split()
        return ["nsenter", "--target", children[0], "--all", "--wd=" + str(self.folder / "own"), "--", *words]

    def network_bytes(self) -> tuple[int, int]:
        """Return how many bytes the machine has received and sent."""
        text = subprocess.run(self.command("cat", "/proc/net/dev"), check=True, capture_output=True, text=True).stdout
        numbers = next(line.split(":")[1].split() for line in text.splitlines() if line.strip().startswith("eth0:"))
        return int(numbers[0]), int(numbers[8])

    def kill(self) -> None:
        """End all processes of the machine at once, as a power failure does."""
        self.process.kill()
        self.process.wait()


class Cluster:
    """A cluster whose first machine is the head, on which searches are typed.

    folder: its `shared` is the same folder for all machines, its `own` another one for each.
    """

    def __init__(self, folder: Path, hidden: Sequence[Path] = ()) -> None:
        self.folder = folder
        self._hidden = hidden
        self._mark = secrets.token_hex(3)
        self._net = f"10.213.{secrets.randbelow(250) + 1}"
        self._namespaces: list[str] = []
        self.machines: list[Machine] = []
        self.variables = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]),
            "TMPDIR": str(self.own / "tmp"),
            "HOME": str(self.own),
            "PYTHONWARNINGS": "ignore",
        }
        for name in ("shared", "own", "empty", "machines"):
            (folder / name).mkdir()
        self._switch = self._namespace("switch")
        _run("ip", "-n", self._switch, "link", "add", "bridge0", "type", "bridge")
        _run("ip", "-n", self._switch, "link", "set", "bridge0", "up")

    @property
    def shared(self) -> Path:
        """The folder that all machines share."""
        return self.folder / "shared"

    @property
    def own(self) -> Path:
        """The path at which each machine has a folder of its own."""
        return self.folder / "own"

    @property
    def head(self) -> Machine:
        return self.machines[0]

    @property
    def address(self) -> str:
        """HOST:PORT of the cluster."""
        return f"{self.head.address}:6379"

    def folder_of(self, machine: Machine) -> Path:
        """Return the machine's own folder, as it is seen from outside."""
        return self.folder / "machines" / machine.name

    def add(self, name: str, *options: str, cpus: int = 1, variables: Mapping[str, str] | None = None) -> Machine:
        """Start a machine with so many cores for Ray, and wait until it has joined. options: more of `ray start`."""
        number = len(self.machines) + 1
        machine_net, address = self._namespace(name), f"{self._net}.{number}"
        _run(
            *("ip", "link", "add", "eth0", "netns", machine_net),
            *("type", "veth", "peer", "name", f"port{number}", "netns", self._switch),
        )
        _run("ip", "-n", self._switch, "link", "set", f"port{number}", "master", "bridge0", "up")
        _run("ip", "-n", machine_net, "link", "set", "lo", "up")
        _run("ip", "-n", machine_net, "address", "add", f"{address}/24", "dev", "eth0")
        _run("ip", "-n", machine_net, "link", "set", "eth0", "up")
        own = self.folder / "machines" / name
        (own / "tmp").mkdir(parents=True)
        hidden = [self.folder / "machines", *(self._hidden if self.machines else ())]
        joining = [f"--address={self.address}"] if self.machines else ["--head", "--port=6379"]
        if not self.machines and "--include-dashboard=true" not in options:
            joining.append("--include-dashboard=false")
        words = [
            *("setpriv", "--pdeathsig", "KILL"),  # the machine ends with the test, however that ends
            *("ip", "netns", "exec", machine_net),
            *("unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "--"),
            *("sh", "-c", AS_MACHINE, "sh", name, str(self.folder), " ".join(map(str, hidden))),
            *(sys.executable, "-m", "ray.scripts.scripts", "start", *joining, "--block", f"--num-cpus={cpus}"),
            *(f"--node-ip-address={address}", f"--temp-dir={self.own}/ray", "--object-store-memory=100000000"),
            *("--disable-usage-stats", *options),
        ]
        log = own / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                words,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env={**self.variables, **(variables or {})},
                start_new_session=True,
            )
        machine = Machine(name, address, self.folder, log, process)
        self.machines.append(machine)
        deadline = time.monotonic() + START_SECONDS
        while "Ray runtime started" not in (text := log.read_text("utf-8", "replace")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"machine {name} did not start:\n{text}")
            time.sleep(0.1)
        return machine

    def run(self, *words: str, seconds: float = 300, **options: Any) -> "subprocess.CompletedProcess[str]":
        """Run a command on the head to its end."""
        command = self.head.command(*words)
        options = {"env": self.variables, **options}
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds, **options)

    def search(self, *words: str) -> Sequence[str]:
        """Return the words of a `search` command on this cluster."""
        return (sys.executable, "-m", "search", *words, "--ray-address", self.address)

    def _namespace(self, name: str) -> str:
        namespace = f"{self._mark}-{name}"
        _run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        return namespace

    def close(self) -> None:
        """End all machines, and remove their networks."""
        for machine in self.machines:
            machine.kill()
        for namespace in self._namespaces:
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "delete", namespace)


@contextmanager
def cluster(folder: Path, hidden: Sequence[Path] = ()) -> Iterator[Cluster]:
    """Make a cluster without machines in an empty folder with a short path. Raises NotAllowedError.

    hidden: folders that only the head sees.
    """
    check_allowed()
    made = Cluster(folder, hidden)
    try:
        yield made
    finally:
        made.close()


def check_allowed() -> None:
    """Raise NotAllowedError where no network namespaces can be made."""
    for program in ("ip", "unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            raise NotAllowedError(f"there is no program {program} (packages iproute2 and util-linux)")
    if os.geteuid() != 0:
        raise NotAllowedError("only root may make network namespaces")
    name = f"{secrets.token_hex(3)}-try"
    try:
        _run("ip", "netns", "add", name)
        try:
            _run("ip", "netns", "exec", name, "unshare", "--mount", "--uts", "--pid", "--fork", "true")
        finally:
            _run("ip", "netns", "delete", name)
    except subprocess.CalledProcessError as error:
        raise NotAllowedError(f"network namespaces cannot be made here: {error.stderr.decode().strip()}") from error


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)

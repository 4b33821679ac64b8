"""Redis as fleets run it, on loopback: a Cluster of three, and a pair watched by Sentinel."""

import subprocess
import time
from pathlib import Path

import redis


class Servers:
    """Processes of `program` of one test, each with its own folder."""

    def __init__(self, folder: Path, program: str = "redis-server") -> None:
        self.folder, self.program = folder, program
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, port: int, *options: str, sentinel: bool = False) -> int:
        """Starts one and waits until it answers; `options` are words of redis.conf."""
        home = self.folder / str(port)
        home.mkdir(exist_ok=True)
        config = home / "redis.conf"
        if not config.exists():
            config.write_text(
                f'port {port}\nbind 127.0.0.1\ndir "{home}"\n' + "".join(f"{o}\n" for o in options)
            )
        command = [self.program, str(config), *(["--sentinel"] if sentinel else [])]
        self.running[port] = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with redis.Redis(port=port) as client:
            until(lambda: answers(client))
        return port

    def kill(self, port: int) -> None:
        """Ends one as a crash would."""
        process = self.running.pop(port)
        process.kill()
        process.wait()

    def close(self) -> None:
        """Ends all."""
        for port in list(self.running):
            self.kill(port)


def answers(client) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def until(true, seconds=30.0) -> None:
    """Waits for another process; fails when it does not happen."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def start_cluster(servers: Servers, ports: list[int]) -> str:
    """A Redis Cluster of `ports`, all of them primaries; its URL."""
    for port in ports:
        servers.start(port, "cluster-enabled yes", f"cluster-port {port + 1}", 'save ""')
    clients = [redis.Redis(port=port) for port in ports]
    for index, client in enumerate(clients):
        first, last = 16384 * index // len(ports), 16384 * (index + 1) // len(ports) - 1
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        client.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0], ports[0] + 1)
    for client in clients:
        until(lambda c=client: b"cluster_state:ok" in c.execute_command("CLUSTER", "INFO"))
        until(
            lambda c=client: len(c.execute_command("CLUSTER", "NODES").splitlines()) == len(ports)
        )
        client.close()
    return "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)


def start_sentinel(servers: Servers, primary: int, replica: int, sentinel: int) -> str:
    """A primary, its replica, and a Sentinel that fails over after half a second; the URL."""
    servers.start(primary, 'save ""')
    servers.start(replica, 'save ""', f"replicaof 127.0.0.1 {primary}")
    with redis.Redis(port=replica) as client:
        until(lambda: client.info("replication")["master_link_status"] == "up")
    servers.start(
        sentinel,
        f"sentinel monitor fleet 127.0.0.1 {primary} 1",
        "sentinel down-after-milliseconds fleet 500",
        "sentinel failover-timeout fleet 3000",
        sentinel=True,
    )
    with redis.Redis(port=sentinel) as client:
        until(lambda: client.sentinel_slaves("fleet"))
    return f"redis+sentinel://127.0.0.1:{sentinel}/fleet/0"

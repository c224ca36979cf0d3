"""Ways to a nats-server: TLS, names, keys, credentials, a cluster of which one dies, a JetStream that is full."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from streamclf.errors import ConfigError
from streamclf.serve.fanout.way import NatsWay
from tests.conftest import StartDaemon
from tests.support.certificates import make_pair
from tests.support.disks import mounted
from tests.support.fleet import LIMIT_S, until
from tests.support.vouching import UNLIMITED, pair_of, signed
from tools.lab.daemon import Daemon, run_cli
from tools.lab.gateways import SITE, NatsServer, Roaming, nats_cluster, nats_program, site_of_lab, start_gateway

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

Begin = Callable[..., tuple[Daemon, Daemon]]


@pytest.fixture
def running() -> Iterator[list[NatsServer]]:
    """Servers that are stopped in the end."""
    if nats_program() is None:
        pytest.skip("nats-server is not installed (Debian's package nats-server; tools/test unpacks it)")
    begun: list[NatsServer] = []
    yield begun
    for one in begun:
        one.stop()


@pytest.fixture
def begin(daemon: StartDaemon, tmp_path: Path) -> Iterator[Begin]:
    """Starts a daemon and a gateway with these keys of [nats]; they need not be ready."""
    gateways: list[Daemon] = []

    def start(url: str, **keys: object) -> tuple[Daemon, Daemon]:
        args, env = site_of_lab(tmp_path, url, SITE)
        env |= {f"STREAMCLF_NATS_{key.upper()}": str(value) for key, value in keys.items()}
        one = daemon(*args, env=env)
        gateways.append(gateway_of(tmp_path, url, f"gateway-{len(gateways)}", **keys))
        return one, gateways[-1]

    yield start
    for each in gateways:
        each.kill()
        assert "Traceback" not in each.stderr, each.stderr


def gateway_of(home: Path, url: str, name: str, **keys: object) -> Daemon:
    toml = "[nats]\n" + "".join(
        f"{key} = {json.dumps(value if isinstance(value, int) else str(value))}\n" for key, value in keys.items()
    )
    return start_gateway(home, url, "--site", SITE, name=name, toml=toml)


def secret(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    path.chmod(0o600)
    return path


def test_over_tls_with_a_password_and_an_authority_of_ones_own(
    running: list[NatsServer], begin: Begin, tmp_path: Path
) -> None:
    certificate, key = make_pair(tmp_path, "server")
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}'
    server = NatsServer(tmp_path, user="anna", password="hunter2hunter2", more=tls, secure=True)
    server.start()
    running.append(server)
    one, at = begin(server.url, authority=certificate)
    at.wait_ready()
    assert at.get_json("/v1/status")["streams"][0]["name"] == "yard"
    assert not one.get_json("/healthz")["problems"]

    another, _ = make_pair(tmp_path, "another")
    wrong = server.url.replace("hunter2hunter2", "hunter3hunter3")
    plain = server.url.replace("tls://", "nats://")
    for number, (url, authority, words) in enumerate((
        (server.url, another, "its certificate is not believed"),
        (wrong, certificate, "it does not let us in"),
        (plain, None, "its certificate is not believed"),
    )):  # fmt: skip
        keys = {"authority": authority} if authority else {}
        refused = gateway_of(tmp_path, url, f"refused-{number}", **keys)
        try:
            refused.wait_for(words, LIMIT_S)
        finally:
            refused.kill()
        assert "hunter" not in refused.stderr
        assert "anna" not in refused.stderr


def test_a_server_that_asks_for_a_certificate(running: list[NatsServer], begin: Begin, tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "server")
    own, own_key = make_pair(tmp_path, "own")
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{own}", verify: true }}'
    server = NatsServer(tmp_path, more=tls, secure=True)
    server.start()
    running.append(server)
    _, at = begin(server.url, authority=certificate, certificate=own, key=own_key)
    at.wait_ready()

    without = gateway_of(tmp_path, server.url, "without", authority=certificate)
    try:
        without.wait_for(f"NATS at 127.0.0.1:{server.port}", LIMIT_S)
        assert without.process.poll() is None, "it goes on trying"
    finally:
        without.kill()
    assert "Traceback" not in without.stderr


def test_nothing_is_said_to_a_server_without_tls_where_the_address_wants_it() -> None:
    heard = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as door:
        info = {"server_id": "x", "version": "2.9.10", "max_payload": 1 << 20, "auth_required": True}

        def serve() -> None:
            with door.accept()[0] as line:
                line.sendall(b"INFO " + json.dumps(info).encode() + b"\r\n")
                line.settimeout(LIMIT_S)
                while data := line.recv(4096):  # until the other side hangs up
                    heard.extend(data)
                hung_up.set()

        hung_up = threading.Event()
        thread = threading.Thread(target=serve)
        thread.start()
        way = NatsWay(f"tls://anna:hunter2hunter2@127.0.0.1:{door.getsockname()[1]}")
        with pytest.raises(Exception, match="does not ask for TLS") as refused:
            asyncio.run(way.connect("test"))
        thread.join()
    assert bytes(heard) == b""
    assert hung_up.is_set(), "a refused line is no longer held"
    assert "hunter2" not in way.problem(refused.value)


def test_an_nkey_lets_in(running: list[NatsServer], begin: Begin, tmp_path: Path) -> None:
    nkeys = pytest.importorskip("nkeys", reason="nkeys is absent (pip install streamclf[nats])")
    pair = pair_of(nkeys, "user")
    server = NatsServer(tmp_path, more=f"authorization {{ users: [ {{ nkey: {pair.public_key.decode()} }} ] }}")
    server.start()
    running.append(server)
    _, at = begin(server.url, credentials=secret(tmp_path, "seed", pair.seed.decode() + "\n"))
    at.wait_ready()

    stranger = secret(tmp_path, "stranger", pair_of(nkeys, "user").seed.decode())
    refused = gateway_of(tmp_path, server.url, "refused", credentials=stranger)
    try:
        refused.wait_for("it does not let us in", LIMIT_S)
    finally:
        refused.kill()


def test_credentials_let_in(running: list[NatsServer], begin: Begin, tmp_path: Path) -> None:
    nkeys = pytest.importorskip("nkeys", reason="nkeys is absent (pip install streamclf[nats])")
    operator, account, own, user = (pair_of(nkeys, kind) for kind in ("operator", "account", "account", "user"))
    told = {
        "operator": signed(operator, operator, "operator", {"system_account": own.public_key.decode()}),
        "system": signed(operator, own, "account", {"limits": dict.fromkeys(UNLIMITED[:6], -1)}),
        "account": signed(operator, account, "account", {"limits": dict.fromkeys(UNLIMITED, -1)}),
    }
    server = NatsServer(
        tmp_path,
        more=f"operator: {told['operator']}\nresolver: MEMORY\n"
        f"resolver_preload: {{ {account.public_key.decode()}: {told['account']}, "
        f"{own.public_key.decode()}: {told['system']} }}",
    )
    server.start()
    running.append(server)
    limits = {"subs": -1, "data": -1, "payload": -1}
    text = (
        f"-----BEGIN NATS USER JWT-----\n{signed(account, user, 'user', limits)}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
    )
    _, at = begin(server.url, credentials=secret(tmp_path, "garden.creds", text))
    at.wait_ready()


def test_files_that_cannot_be_used_are_refused_in_a_sentence(tmp_path: Path) -> None:
    pytest.importorskip("nkeys", reason="nkeys is absent (pip install streamclf[nats])")
    nonsense, certificate = secret(tmp_path, "nonsense", "hunter2"), make_pair(tmp_path, "server")[0]
    opened = secret(tmp_path, "opened", "SUABC")
    opened.chmod(0o644)
    url, config = "tls://127.0.0.1:1", tmp_path / "config.toml"
    for keys, words in (
        (f'url = "{url}"\ncredentials = "{nonsense}"', "holds neither credentials nor the seed"),
        (f'url = "{url}"\ncredentials = "{opened}"', "chmod 600"),
        (f'url = "{url}"\ncredentials = "{tmp_path / "none"}"', "No such file"),
        (f'url = "{url}"\nauthority = "{nonsense}"', "nats.authority"),
        (f'url = "{url}"\nauthority = "{tmp_path / "none"}"', "nats.authority"),
        (f'url = "{url}"\ncertificate = "{certificate}"', "certificate and key need each other"),
        (f'url = "{url}"\ncertificate = "{certificate}"\nkey = "{nonsense}"', "nats.certificate"),
        (f'url = "nats://h"\nauthority = "{certificate}"', "need an address with tls://"),
        ('url = "nats://h,http://hunter2@i"', "the address of NATS cannot be read"),
        ('url = "nats://h,ws://i"', "mix websockets"),
        (f'url_file = "{tmp_path / "none"}"', "nats.url_file"),
        ('url = "nats://h"\nreplicas = 6', "nats.replicas"),
    ):
        config.write_text(f'[nats]\nsite = "x"\n{keys}\n')
        for command in (["gateway"], ["config", "check", "--offline"]):
            done = run_cli(*command, "--config", str(config), home=tmp_path)
            assert done.returncode == 78, (command, keys, done.stderr)
            assert words in done.stderr + done.stdout
            assert "hunter2" not in done.stderr + done.stdout
            assert "Traceback" not in done.stderr
    config.write_text('[nats]\nsite = "x"\nurl = "nats://anna:hunter2@h,nats://bert:hunter3@i"\n')
    shown = run_cli("config", "show", "--config", str(config), home=tmp_path).stdout
    assert json.loads(shown)["nats"]["url"] == "nats://h,nats://i"


def test_several_servers_are_named_in_order_and_a_wrong_one_is_found() -> None:
    way = NatsWay("nats://anna:hunter2@one, tls://two:5000")
    assert way.name == "NATS at one:4222, two:5000"
    assert "hunter2" not in repr(way)
    with pytest.raises(ConfigError, match="the address of NATS cannot be read"):
        NatsWay("nats://one,")


async def gathered(clients: list[Roaming], seqs: int, then: Callable[[], None]) -> None:
    """They get so many messages, `then` happens, and they get so many more."""
    tasks = [asyncio.create_task(client.run()) for client in clients]

    async def more() -> None:
        await asyncio.gather(*(client.reaches((client.seqs or [0])[-1] + seqs) for client in clients))

    async with asyncio.timeout(LIMIT_S * 2):
        await more()
        await asyncio.to_thread(then)
        await more()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("dies", [0, 1, 2])
def test_of_a_cluster_of_three_one_dies(running: list[NatsServer], begin: Begin, tmp_path: Path, dies: int) -> None:
    servers = nats_cluster(tmp_path)
    running += servers
    threads = [threading.Thread(target=server.start) for server in servers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    one, at = begin(",".join(server.url for server in servers), replicas=3)
    at.wait_ready()
    far, own = Roaming([at.url]), Roaming([one.url])

    asyncio.run(gathered([far, own], 100, servers[dies].stop))

    for client in (far, own):
        assert client.seqs == list(range(client.seqs[0], client.seqs[-1] + 1))
        assert not client.lagged
        assert not client.moved
    until(lambda: one.get_json("/healthz")["status"] == "ok", "the daemon does not come back")
    until(lambda: at.get("/healthz")[0] == 200, "the gateway does not come back")


def test_a_disk_of_jetstream_that_is_full_makes_a_hole_that_is_declared(
    running: list[NatsServer], begin: Begin, tmp_path: Path
) -> None:
    disk = tmp_path / "js"
    with mounted(disk, "-t", "tmpfs", "-o", "size=24m", "tmpfs"):
        server = NatsServer(tmp_path)
        server.start()
        running.append(server)
        one, at = begin(server.url)
        at.wait_ready()
        far, own = Roaming([at.url]), Roaming([one.url])
        full = disk / "filled"

        def fill_and_free() -> None:
            with full.open("wb", buffering=0) as out, suppress(OSError):
                while True:
                    out.write(bytes(4096))
            one.wait_for("gateways get nothing", LIMIT_S)
            assert one.get_json("/healthz")["status"] == "degraded"
            full.unlink()
            server.stop()  # one that found its disk full stops JetStream until it is started anew
            server.start()
            until(lambda: one.get_json("/healthz")["status"] == "ok", "the daemon does not come back")

        asyncio.run(gathered([far, own], 100, fill_and_free))
    assert own.seqs == list(range(own.seqs[0], own.seqs[-1] + 1))
    assert not own.moved
    assert whole(far), "a number was neither had nor declared"


def whole(client: Roaming) -> bool:
    """Whether each number came or was declared."""
    declared = {seq for hole in client.lagged for seq in range(hole["from_seq"], hole["to_seq"] + 1)}
    return set(range(client.seqs[0], client.seqs[-1] + 1)) == set(client.seqs) | declared


@pytest.mark.parametrize("discard", ["old", "new"])
def test_a_limit_that_somebody_set_stays_and_what_it_leaves_out_is_declared(
    running: list[NatsServer], begin: Begin, tmp_path: Path, discard: str
) -> None:
    import nats
    from nats.js.api import DiscardPolicy, StreamConfig

    server = NatsServer(tmp_path)
    server.start()
    running.append(server)
    most = 200_000

    async def limit() -> None:
        client = await nats.connect(server.url)
        await client.jetstream().add_stream(
            StreamConfig(
                name="streamclf", subjects=["streamclf.heard.*"], max_bytes=most, discard=DiscardPolicy(discard)
            )
        )
        await client.close()

    async def held() -> tuple[int, int, float]:
        client = await nats.connect(server.url)
        info = await client.jetstream().stream_info("streamclf")
        await client.close()
        return info.config.max_bytes or 0, info.state.bytes, info.config.max_age or 0

    asyncio.run(limit())
    one, at = begin(server.url)
    at.wait_ready()
    far, own = Roaming([at.url]), Roaming([one.url])

    def fill() -> None:
        if discard == "new":
            one.wait_for("gateways get nothing", LIMIT_S)
            assert "maximum bytes exceeded" in one.stderr
        else:
            until(lambda: asyncio.run(held())[1] > most * 0.8, "it does not fill")

    async def hear() -> None:
        tasks = [asyncio.create_task(client.run()) for client in (far, own)]
        await asyncio.gather(far.reaches(1), own.reaches(1))
        await asyncio.to_thread(fill)
        await own.reaches(own.seqs[-1] + 100)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(hear())
    bytes_most, _, age_s = asyncio.run(held())
    assert bytes_most == most
    assert age_s > 0
    assert own.seqs == list(range(own.seqs[0], own.seqs[-1] + 1))
    assert not own.moved
    assert whole(far)


def test_a_gateway_may_be_there_before_nats_and_before_any_daemon(
    running: list[NatsServer], daemon: StartDaemon, tmp_path: Path
) -> None:
    server = NatsServer(tmp_path)
    one, fleet = gateway_of(tmp_path, server.url, "one"), start_gateway(tmp_path, server.url, "--all", name="fleet")
    try:
        for each in (one, fleet):
            each.wait_for("Connection refused", LIMIT_S)
        server.start()
        running.append(server)
        one.wait_for('is there a daemon with site = "garden"', LIMIT_S)
        fleet.wait_for("nothing of any site yet", LIMIT_S)
        args, env = site_of_lab(tmp_path, server.url, SITE)
        daemon(*args, env=env)
        for each in (one, fleet):
            each.wait_ready()
        assert [each["name"] for each in fleet.get_json("/v1/status")["streams"]] == ["garden/yard"]
    finally:
        for each in (one, fleet):
            each.kill()
            assert "Traceback" not in each.stderr

"""The unit of `install-service` under a real systemd: it starts, hears, keeps, comes back, stays within its walls."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from streamclf.commands.needs import program_folders
from tests.support.machine import ROOT, booted

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TOKEN = "0123456789abcdef"
PLACE = "/opt/what is heard, 100 %"  # of the program: a unit has to write it in its own way
SITES = "\n".join([str(ROOT), *(path for path in sys.path if path.endswith("-packages"))])
CONFIG = """source = [{source}]
[server]
token_file = "/etc/streamclf/token"
"""
NOTIFIES = importlib.util.find_spec("streamclf.daemon.notify") is not None
UNWATCHED = "Type=exec\nWatchdogSec=0\n"
SOUND = ROOT / "streamclf/audio/demo/birds_10s.flac"
PLACED = f"""
python='{PLACE}/bin/python'
'{sys.executable}' -m venv --without-pip '{PLACE}'
cat > "$(echo '{PLACE}'/lib/python*/site-packages)/checkout.pth" <<'END'
{SITES}
END
"""
LIBRARY = f"""
ask() {{ "$python" -c '
import sys, urllib.request as u, urllib.error
request = u.Request("http://127.0.0.1:8765/" + sys.argv[1])
if sys.argv[2:]: request.add_header("Authorization", "Bearer " + sys.argv[2])
try: print(u.build_opener(u.ProxyHandler({{}})).open(request, timeout=5).read().decode())
except urllib.error.HTTPError as fault: print(fault.code)
except OSError as fault: print(fault)' "$@"; }}
state() {{ systemctl show streamclf -p "$1" --value; }}
until_is() {{ for _ in $(seq 600); do [ "$(state "$1")" = "$2" ] && return; sleep 0.1; done; echo "never $1 $2"; }}
until_heard() {{
  for _ in $(seq 100); do
    ask metrics {TOKEN} | grep '^streamclf_frames_total.* [1-9]' >/dev/null && return; sleep 0.2
  done
  echo "nothing heard"
}}
until_ok() {{
  for _ in $(seq 300); do
    said=$(ask healthz); case "$said" in *'"status":"ok"'*) break;; esac; sleep 0.2
  done
  echo "$said"
}}
"$python" -m streamclf install-service --system > /run/out/installed
systemctl daemon-reload
systemctl start streamclf; echo "== started"; echo $?; until_heard; state ActiveState
"""
WALLS = r"""
echo "== unit"; cat /etc/systemd/system/streamclf.service
echo "== health"; until_ok; ask v1/status
echo "== admin"; ask metrics 0123456789abcdef | sed -n 1p
pid=$(state MainPID); [ "$pid" != 0 ] || exit
echo "== process"; grep -E '^(Uid|Cap(Eff|Bnd)|NoNewPrivs|Seccomp):' /proc/$pid/status
tr '\0' '\n' < /proc/$pid/environ
echo "== folders"; stat -c '%n %a %U' /var/lib/private/streamclf /var/lib/private/streamclf/streamclf.db
echo "== other"; "$python" -c 'import fcntl, os, socket, struct
ask = struct.pack("16sH2x4s8x", b"lo:1", socket.AF_INET, socket.inet_aton("192.0.2.1"))
fcntl.ioctl(socket.socket(), 0x8916, ask)  # this machine has one more address, and it is not loopback
there = socket.create_server(("192.0.2.1", 7000))
socket.create_connection(("192.0.2.1", 7000), 5); print("outside: connected")
open("/sys/fs/cgroup/system.slice/streamclf.service/cgroup.procs", "w").write(str(os.getpid()))
try: socket.create_connection(("192.0.2.1", 7000), 2); print("inside: connected")
except OSError as fault: print("inside:", fault)'
echo "== reload"; systemctl reload streamclf; echo $?; [ "$(state MainPID)" = "$pid" ] && echo same
echo "== killed"; kill -KILL "$pid"; until_is NRestarts 1; until_is ActiveState active; until_heard; state NRestarts
echo "== stopped"; systemctl stop streamclf; state Result; state ExecMainStatus
cat > /etc/systemd/system/streamclf.service.d/quick.conf <<'END'
[Service]
WatchdogSec=3
RestartSec=1
END
systemctl daemon-reload; systemctl start streamclf; until_heard
echo "== watched"; sleep 7; state NRestarts; state StatusText
kill -STOP "$(state MainPID)"; until_is NRestarts 1; until_is ActiveState active; until_heard; state NRestarts
systemctl stop streamclf
echo 'sauce = 1' >> /etc/streamclf/config.toml
echo "== mistake"; systemctl start streamclf 2> /dev/null
until_is ActiveState failed; state ExecMainStatus; state NRestarts
"""
OF_A_USER = r"""
"$python" -c 'import sys
from pathlib import Path
for path in map(Path, [sys.base_prefix, *sys.path]):
    for folder in [path, *path.parents] if path.is_dir() else []: folder.chmod(folder.stat().st_mode | 0o5)'
useradd --create-home --home-dir /srv/ann ann; mkdir -p /run/ann; chown ann /run/ann
cat > /etc/systemd/system/manager.service <<'END'
[Unit]
DefaultDependencies=no
[Service]
User=ann
Delegate=yes
Environment=XDG_RUNTIME_DIR=/run/ann
Type=notify
ExecStart=/lib/systemd/systemd --user --unit=none.target
END
mkdir -p /srv/ann/.config/systemd/user; echo '[Unit]' > /srv/ann/.config/systemd/user/none.target
chown -R ann /srv/ann; systemctl daemon-reload; systemctl start manager
cat > /run/out/ann <<END
export HOME=/srv/ann XDG_RUNTIME_DIR=/run/ann
cd /
mkdir -p ~/.config/streamclf
sed 's#/etc/streamclf/token#/srv/ann/token#' /etc/streamclf/config.toml > ~/.config/streamclf/config.toml
(umask 077; echo 0123456789abcdef > ~/token)
'$python' -m streamclf install-service
mkdir -p ~/.config/systemd/user/streamclf.service.d
cp /etc/systemd/system/streamclf.service.d/user.conf ~/.config/systemd/user/streamclf.service.d/
systemctl --user daemon-reload
systemctl --user start streamclf
echo "== started"; echo \$?
for _ in \$(seq 300); do ls ~/.local/share/streamclf/streamclf.db > /dev/null 2>&1 && break; sleep 0.1; done
systemctl --user show streamclf -p ActiveState --value
echo "== process"
grep -E '^(Uid|NoNewPrivs|Seccomp):' /proc/\$(systemctl --user show streamclf -p MainPID --value)/status
echo "== stopped"; systemctl --user stop streamclf; systemctl --user show streamclf -p Result --value
ls ~/.local/share/streamclf
END
su ann -s /bin/bash /run/out/ann
"""
MICROPHONE = r"""
until_heard
echo "== status"; ask v1/status 0123456789abcdef
systemctl stop streamclf
"""


def heard(tmp_path: Path, script: str, source: str, **etc: str) -> dict[str, str]:
    """What stands behind each line `== name` that the script wrote; `log` is the journal."""
    shown = " ".join(f'"-{folder}"' for folder in (ROOT, Path(sys.prefix), *program_folders()))
    # without what every machine starts first, and would do to the kernel that is this machine's as well
    checkout = f"[Unit]\nDefaultDependencies=no\n[Service]\nBindReadOnlyPaths={shown}\n"
    checkout += "Environment=ALSA_CONFIG_PATH=/etc/streamclf/asound.conf\n"
    if not NOTIFIES:
        checkout += UNWATCHED
    answer = booted(
        tmp_path,
        PLACED + (script if "manager" in script else LIBRARY + script),
        {
            "streamclf/config.toml": CONFIG.format(source=source),
            "streamclf/token": (TOKEN, 0o600),
            "systemd/system/streamclf.service.d/checkout.conf": checkout,
            "systemd/system/streamclf.service.d/user.conf": "[Service]\n" + ("" if NOTIFIES else UNWATCHED),
            **{name.replace("_", "/", 1).replace("_", "."): text for name, text in etc.items()},
        },
    )
    found = re.split(r"^== (\w+)\n", answer.said, flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True)) | {"log": answer.log, "before": found[0]}


def test_the_unit_of_the_system(tmp_path: Path) -> None:
    said = heard(tmp_path, WALLS, f'"file:{SOUND}#loop=yes", "push:kitchen,16000"')

    assert said["started"].split() == ["0", "active"], said
    assert TOKEN not in said["unit"]
    assert "MemoryDenyWriteExecute=yes" in said["unit"]
    health, refused, _ = said["health"].split("\n")
    assert json.loads(health)["status"] == "ok"
    assert refused == "401"
    assert said["admin"].startswith("# HELP")
    lines = said["process"].splitlines()
    assert "NoNewPrivs:\t1" in lines
    assert "Seccomp:\t2" in lines
    assert {line.split()[1].strip("0") for line in lines if line.startswith("Cap")} == {""}
    assert int(lines[0].split()[1]) >= 61184  # a user that systemd made
    assert TOKEN not in said["process"]
    assert [line.split()[1:] for line in said["folders"].splitlines()] == [["700", "streamclf"], ["600", "streamclf"]]
    assert said["reload"].split() == ["0", "same"]
    assert said["killed"].split() == ["1"]
    assert said["stopped"].split() == ["success", "0"]
    if NOTIFIES:
        assert said["watched"].splitlines() == ["0", "1 of 2 streams heard", "1"]
        assert "Watchdog timeout" in said["log"]
    assert said["mistake"].split() == ["78", "0"]
    assert "unknown key server.sauce" in said["log"]
    assert "outside: connected" in said["other"]
    if "IP firewalling" in said["log"] or "BPF" in said["log"]:
        pytest.skip("all but the limits of addresses: this kernel has none (no BPF for control groups)")
    assert re.search("^inside: (?!connected)", said["other"], re.MULTILINE)


def test_a_microphone_is_heard_within_the_walls(tmp_path: Path) -> None:
    if not Path("/usr/share/alsa/alsa.conf").is_file():
        pytest.skip("ALSA's configuration is absent (apt install libasound2), so there is no microphone to make up")
    made = "type file slave.pcm null file /dev/null infile /dev/zero format raw"
    sound = f"</usr/share/alsa/alsa.conf>\npcm.made {{ {made} }}\n"
    said = heard(tmp_path, MICROPHONE, '"device:made"', streamclf_asound_conf=sound)

    assert said["started"].split() == ["0", "active"], said
    (stream,) = json.loads(said["status"])["streams"]  # its sound is digital silence, so /healthz may say 503
    assert stream["name"] == "made"
    assert stream["captured_s"] > 0


def test_the_unit_of_a_user(tmp_path: Path) -> None:
    said = heard(tmp_path, OF_A_USER, f'"file:{SOUND}#loop=yes"')

    assert said["started"].split() == ["0", "active"], said
    assert "NoNewPrivs:\t1" in said["process"].splitlines()
    assert "Seccomp:\t2" in said["process"].splitlines()
    assert said["stopped"].split()[0] == "success"
    assert "streamclf.db" in said["stopped"].split()

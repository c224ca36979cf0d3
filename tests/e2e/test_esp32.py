"""The sketch of examples/esp32: what it says is compiled for this machine, and said to a real daemon.

Its network and its microphone are those of the board: of these the sketch is held against what their libraries declare.
"""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import connect

from tests.conftest import StartDaemon
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "esp32"
BLOCK = 320
# words of 32 bits on standard input; each message on standard output behind its length
PROGRAM = r"""
#include <stdio.h>
#include "streamclf_push.h"
static void put(const void *data, uint32_t size) { fwrite(&size, 4, 1, stdout); fwrite(data, 1, size, stdout); }
int main() {
  const std::string first = streamclf::announce("garden", 16000, "board1");
  put(first.data(), first.size());
  streamclf::Blocks blocks(320);
  int32_t words[320];
  size_t got;
  while ((got = fread(words, 4, 320, stdin))) {
    const std::vector<uint8_t> &message = blocks.next(words, got);
    put(message.data(), message.size());
    if (blocks.first() == 16000) blocks.skip(480);
  }
}
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Every message of a second of quiet, 30 ms that are lost, and a second of a loud tone."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed (package g++)")
    folder = tmp_path_factory.mktemp("board")
    (folder / "main.cpp").write_text(PROGRAM)
    subprocess.run(
        [compiler, "-std=c++11", "-Wall", "-Wextra", "-Werror", f"-I{FOLDER}", "main.cpp", "-o", "board"],
        cwd=folder, check=True,
    )  # fmt: skip
    sound = np.zeros(2 * RATE)
    sound[RATE:] = 0.5 * np.sin(np.arange(RATE) * 0.3)
    words = np.rint(sound * (2**31 - 1)).astype("<i4").tobytes()
    out = subprocess.run([folder / "board"], input=words, capture_output=True, check=True).stdout
    messages = []
    while out:
        size = int.from_bytes(out[:4], "little")
        messages.append(out[4 : 4 + size])
        out = out[4 + size :]
    return messages


def test_messages_are_as_the_protocol_has_them(said: list[bytes]) -> None:
    announced = json.loads(said[0])
    assert announced == {
        "type": "push", "stream": "garden", "rate": 16000, "format": "s16le", "sender": "board1",
    }  # fmt: skip
    firsts = [int.from_bytes(message[:8], "little") for message in said[1:]]
    assert firsts == [*range(0, RATE, BLOCK), *range(RATE + 480, 2 * RATE + 480, BLOCK)]
    samples = np.concatenate([np.frombuffer(message[8:], "<i2") for message in said[1:]])
    np.testing.assert_allclose(samples[RATE:] / 32768, 0.5 * np.sin(np.arange(RATE) * 0.3), atol=1e-4)


def test_a_daemon_hears_it_and_the_gap_is_exact(said: list[bytes], daemon: StartDaemon, tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "pack")
    running = daemon("--source", "push:garden,16000", "--model", str(pack))
    with connect(running.url) as ear, connect(running.url) as board:
        ear.recv(timeout=30)
        ear.send(json.dumps({"type": "subscribe", "tier": "events"}))
        board.send(said[0].decode())
        while json.loads(board.recv(timeout=30))["type"] != "pushing":
            pass
        for message in said[1:]:
            board.send(message)
            time.sleep(0.005)  # a board is slower
        found: dict[str, Any] = {}
        while not {"gap", "event"} <= set(found):
            text = json.loads(ear.recv(timeout=30))
            found[text["type"]] = text
    assert (found["gap"]["first_sample"], found["gap"]["last_sample"]) == (RATE, RATE + 479)
    assert found["event"]["label"] == "loud"


BOARD = {
    "Arduino.h": """
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <functional>
#include <string>
struct Printer { void begin(unsigned long); size_t println(const char *); };
extern Printer Serial;
uint32_t esp_random(void);
""",
    "ESP_I2S.h": """
#include "Arduino.h"
enum i2s_mode_t { I2S_MODE_STD, I2S_MODE_TDM };
enum i2s_data_bit_width_t { I2S_DATA_BIT_WIDTH_16BIT = 16, I2S_DATA_BIT_WIDTH_32BIT = 32 };
enum i2s_slot_mode_t { I2S_SLOT_MODE_MONO = 1, I2S_SLOT_MODE_STEREO = 2 };
struct I2SClass {
  void setPins(int8_t bclk, int8_t ws, int8_t dout, int8_t din = -1, int8_t mclk = -1);
  bool begin(i2s_mode_t, uint32_t rate, i2s_data_bit_width_t, i2s_slot_mode_t);
  size_t readBytes(char *, size_t);
};
""",
    "WiFi.h": """
#include "Arduino.h"
enum wifi_mode_t { WIFI_STA };
struct Network { bool mode(wifi_mode_t); bool setSleep(bool); int begin(const char *, const char *); };
extern Network WiFi;
""",
    "WebSocketsClient.h": """
#include "Arduino.h"
enum WStype_t { WStype_ERROR, WStype_DISCONNECTED, WStype_CONNECTED, WStype_TEXT, WStype_BIN };
struct WebSocketsClient {
  void begin(const char *host, uint16_t port, const char *url = "/", const char *protocol = "arduino");
  void setExtraHeaders(const char *);
  void setReconnectInterval(unsigned long);
  void onEvent(std::function<void(WStype_t, uint8_t *, size_t)>);
  void loop(void);
  bool sendTXT(const char *, size_t = 0);
  bool sendBIN(const uint8_t *, size_t);
};
""",
}
"""What the sketch uses of the board's libraries, as their headers declare it (arduino-esp32 3, WebSockets 2.4)."""


def test_the_sketch_is_good_against_what_the_boards_libraries_declare(tmp_path: Path) -> None:
    """The board's own compiler is not here: this one finds what is misspelt, and calls that do not fit."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no C++ compiler is installed (package g++)")
    for name, text in BOARD.items():
        (tmp_path / name).write_text(text)
    command = [compiler, "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-include", "Arduino.h"]
    command += [f"-I{tmp_path}", f"-I{FOLDER}", "-x", "c++", str(FOLDER / "esp32.ino")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

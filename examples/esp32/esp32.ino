// An ESP32 with an I2S microphone (INMP441 or the like) as a microphone of streamclf, over Wi-Fi.
//
// How to run it: `streamclf run --source push:garden,16000` on a machine that listens to the network (with a token, see
// docs/operate/access.md); fill in the lines below; in the Arduino IDE the board package "esp32" (3.x) and the library
// "WebSockets" by Markus Sattler (2.4 or newer). Wires: SCK, WS and SD as below, L/R to ground, 3.3 V.
//
// The token goes over the network as it is unless the daemon has a certificate: then beginSSL in place of begin.

#include <ESP_I2S.h>
#include <WebSocketsClient.h>
#include <WiFi.h>

#include "streamclf_push.h"

static const char *SSID = "my-network";
static const char *PASSWORD = "its-password";
static const char *HOST = "192.168.1.10";
static const uint16_t PORT = 8765;
static const char *TOKEN = "the daemon's audio token";
static const char *STREAM = "garden";
static const uint32_t RATE = 16000;
static const int SCK_PIN = 26, WS_PIN = 25, SD_PIN = 33;
static const size_t BLOCK = 320;  // 20 ms

static I2SClass microphone;
static WebSocketsClient web;
static streamclf::Blocks blocks(BLOCK);
static std::string sender;
static bool accepted = false;

static void heard(WStype_t type, uint8_t *payload, size_t length) {
  if (type == WStype_CONNECTED) {
    const std::string first = streamclf::announce(STREAM, RATE, sender);
    web.sendTXT(first.c_str(), first.size());
  } else if (type == WStype_TEXT) {
    const std::string text(reinterpret_cast<char *>(payload), length);
    if (text.find("\"type\":\"pushing\"") != std::string::npos) accepted = true;
    if (text.find("\"type\":\"error\"") != std::string::npos) Serial.println(text.c_str());
  } else if (type == WStype_DISCONNECTED) {
    accepted = false;
  }
}

void setup() {
  Serial.begin(115200);
  sender = "esp" + std::to_string(esp_random()) + std::to_string(esp_random());
  WiFi.mode(WIFI_STA);
  WiFi.setSleep(false);  // a radio that sleeps sends in bursts
  WiFi.begin(SSID, PASSWORD);
  microphone.setPins(SCK_PIN, WS_PIN, -1, SD_PIN);
  if (!microphone.begin(I2S_MODE_STD, RATE, I2S_DATA_BIT_WIDTH_32BIT, I2S_SLOT_MODE_MONO)) {
    Serial.println("the microphone does not answer: see its wires");
  }
  static const std::string header = std::string("Authorization: Bearer ") + TOKEN;
  web.setExtraHeaders(header.c_str());
  web.begin(HOST, PORT, "/v1", "streamclf.v1");
  web.setReconnectInterval(2000);
  web.onEvent(heard);
}

void loop() {
  static int32_t words[BLOCK];
  web.loop();
  const size_t bytes = microphone.readBytes(reinterpret_cast<char *>(words), sizeof(words));
  const std::vector<uint8_t> &message = blocks.next(words, bytes / sizeof(int32_t));
  // what is not sent is counted all the same: the daemon sees a gap of that length
  if (accepted && bytes) web.sendBIN(message.data(), message.size());
}

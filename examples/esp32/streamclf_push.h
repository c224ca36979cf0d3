// What a microphone says to streamclf: the push protocol, without the network. Plain C++11, no Arduino in it.
// How to run it: it is a part of esp32.ino, beside it, which says how.
//
// A connection begins with one text message, `announce`; the daemon answers {"type":"pushing",…}, or {"type":"error",…}.
// Then each binary message is the index of its first sample (64 bits, little-endian) and mono samples of 16 bits. Samples
// are counted from the start of the sketch, sent or not: what could not be sent is a gap of exactly that length.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include <string>
#include <vector>

namespace streamclf {

// The first message. sender: made up once for each start (up to 64 letters and digits); after a lost connection the same
// one again, so that the daemon goes on counting where it was.
inline std::string announce(const std::string &stream, uint32_t rate, const std::string &sender) {
  return "{\"type\":\"push\",\"stream\":\"" + stream + "\",\"rate\":" + std::to_string(rate) +
         ",\"format\":\"s16le\",\"sender\":\"" + sender + "\"}";
}

// Makes messages of samples as they come from a converter of 24 bits in words of 32, as I2S microphones have them.
class Blocks {
 public:
  // shift: by how much a word is made smaller to have 16 bits; 16 keeps the highest, 14 is 12 dB louder.
  explicit Blocks(size_t samples, int shift = 16) : shift_(shift) { bytes_.reserve(8 + 2 * samples); }

  // The next samples. The message is valid until the next call.
  const std::vector<uint8_t> &next(const int32_t *words, size_t count) {
    bytes_.clear();
    for (int i = 0; i < 8; i++) bytes_.push_back(static_cast<uint8_t>(first_ >> (8 * i)));
    for (size_t i = 0; i < count; i++) {
      int32_t value = words[i] >> shift_;
      if (value > 32767) value = 32767;
      if (value < -32768) value = -32768;
      bytes_.push_back(static_cast<uint8_t>(value & 0xff));
      bytes_.push_back(static_cast<uint8_t>((value >> 8) & 0xff));
    }
    first_ += count;
    return bytes_;
  }

  // Samples that were lost before they were read.
  void skip(uint64_t count) { first_ += count; }

  uint64_t first() const { return first_; }

 private:
  int shift_;
  uint64_t first_ = 0;
  std::vector<uint8_t> bytes_;
};

}  // namespace streamclf

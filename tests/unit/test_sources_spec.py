"""What can be written after --source, and the sentence for everything else."""

import pytest

from streamclf.audio.sources import SourceKind, SourceSpec, kinds, name_sources, parse_source, with_loop
from streamclf.audio.sources.pipe import pipe_format
from streamclf.audio.sources.push import push_format
from streamclf.errors import UsageError
from streamclf.text import public_url


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("device", SourceSpec("device", "", "device")),
        ("device:", SourceSpec("device", "", "device")),
        ("device:USB Mic: Audio (hw:1,0)", SourceSpec("device", "USB Mic: Audio (hw:1,0)", "USB Mic- Audio -hw-1-0")),
        ("device:pulse#ch=2&rate=16000", SourceSpec("device", "pulse", "pulse", channel=1, options={"rate": 16000})),
        ("device#ch=mix", SourceSpec("device", "", "device")),
        ("file:/a/b c/song.flac", SourceSpec("file", "/a/b c/song.flac", "song")),
        ("file:song.flac#loop=yes&name=bird", SourceSpec("file", "song.flac", "bird", options={"loop": True})),
        ("file:song.flac#loop=no", SourceSpec("file", "song.flac", "song", options={"loop": False})),
        ("file:take #2.wav#", SourceSpec("file", "take #2.wav", "take -2")),
        ("file:take #2.wav#ch=1", SourceSpec("file", "take #2.wav", "take -2", channel=0)),
        ("file:hash#ch=1.wav#", SourceSpec("file", "hash#ch=1.wav", "hash-ch-1")),
        ("file:...", SourceSpec("file", "...", "file")),
        ("demo#gain=20 db", SourceSpec("demo", "", "demo", gain="+20dB")),
        ("demo#gain=+0dB", SourceSpec("demo", "", "demo", gain="off")),
        ("pipe:48000,2,f32le#gain=normalise", SourceSpec("pipe", "48000,2,f32le", "pipe", gain="normalise")),
        ("url:rtsp://cam.local:554/x", SourceSpec("url", "rtsp://cam.local:554/x", "cam.local")),
        ("url:HTTP://host/a#priority=-3", SourceSpec("url", "HTTP://host/a", "host", priority=-3)),
        ("push:kitchen", SourceSpec("push", "kitchen", "kitchen")),
        ("push:Küche,16000", SourceSpec("push", "Küche,16000", "Küche")),
        ("demo", SourceSpec("demo", "", "demo")),
    ],
)
def test_parse(text: str, expected: SourceSpec) -> None:
    spec = parse_source(text)
    assert spec.text == text
    assert {name: getattr(spec, name) for name in SourceSpec.__slots__ if name != "text"} == {
        name: getattr(expected, name) for name in SourceSpec.__slots__ if name != "text"
    }


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "'' begins with no kind of source; expected one of "),
        ("", "device[:NAME], file:PATH, pipe:RATE"),
        ("devise:x", "did you mean device?"),
        ("song.flac", "write file:song.flac"),
        ("/a b/song", "write file:/a b/song"),
        ("songs", "an example is demo"),
        ("rtsp://u:secret@host/x", "write url:rtsp://host/x"),
        ("sftp://u:secret@host/x", "'sftp' begins with no kind of source"),
        ("file:", "file needs a path"),
        ("demo:x", "demo takes no argument, got 'x'"),
        ("device#ch", "'ch' after # is not key=value"),
        ("file:take #2.wav", "put a bare one behind it: file:take #2.wav#"),
        ("file:hash#ch=1.wav", "put a bare one behind it: file:hash#ch=1.wav#"),
        ("file:a#gain=loud.wav", "put a bare one behind it: file:a#gain=loud.wav#"),
        ("device#ch=", "'ch=' after # is not key=value"),
        ("device#chn=1", "'chn' is not an option of device, which takes ch, name, gain, priority, rate; did you mean"),
        ("device#loop=yes", "'loop' is not an option of device"),
        ("push:x#ch=1", "'ch' is not an option of push"),
        ("device#ch=1&ch=2", "option ch is given twice"),
        ("device#name=Garden,ch=2", "joined by &: name=Garden&ch=2"),
        ("demo#store=yes name=x", "joined by &: store=yes&name=x"),
        ("device#ch=0", "ch must be a whole number from 1 to 256, got '0'"),
        ("device#ch=one", "ch must be a whole number from 1 to 256, got 'one'"),
        ("file:x#loop=maybe", "loop=maybe is neither yes nor no"),
        ("device#gain=10", "gain=10 is not known; use off, normalise, or decibels from -60dB to +60dB, such as +20dB"),
        ("device#priority=1.5", "priority must be a whole number from -100 to 100, got '1.5'"),
        ("device#name=../x", "'../x' cannot name a source"),
        ("device#name=" + "x" * 65, "cannot name a source; use 1 to 64 letters"),
        ("push:a/b", "'a/b' cannot name a source"),
        ("push:", "push needs a name"),
        ("push:,16000", "push needs a name"),
        ("push:x,fast", "push rate must be a whole number"),
        ("pipe", "is not pipe:RATE"),
        ("pipe:48000,2,s16le,x", "is not pipe:RATE"),
        ("pipe:48k", "pipe rate must be a whole number from 1 to 768000, got '48k'"),
        ("pipe:48000,0", "pipe channel count must be a whole number from 1 to 256, got '0'"),
        ("pipe:48000,1,s24le", "'s24le' is not a sample format a pipe can carry; use s16le or f32le"),
        ("url:", "use url: and one of http, https, rtsp, rtsps, rtmp"),
        ("url:file:///etc/passwd", "file: is not an address streamclf opens"),
        ("url:concat://a|b", "concat: is not an address streamclf opens"),
        ("url:http://", "has no host"),
        ("url:http://host:port/", "has no host"),
        ("url:rtsp://u:sec#secret@cam/x", "write / ? # @ % as %2F %3F %23 %40 %25"),
        ("url:rtsp://u:sec#name=secret@cam/x", "write / ? # @ % as %2F %3F %23 %40 %25"),
        ("url:rtsp://u:5#secret#ch=2@cam/x", "write / ? # @ % as %2F %3F %23 %40 %25"),
        ("url:rtsp://u:5#secret@cam/x#ch=1", "write / ? # @ % as %2F %3F %23 %40 %25"),
        ("url:rtsp://u:secret/x@cam", "write / ? # @ % as %2F %3F %23 %40 %25"),
        ("rtsp://u:5#secret@cam/x", "write url:rtsp://…"),
    ],
)
def test_mistakes_get_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: kind.name)
def test_the_example_of_a_kind_can_be_parsed(kind: SourceKind) -> None:
    spec = parse_source(kind.example)

    assert spec.declared is kind
    assert kind.usage.startswith(kind.name)
    assert kind.summary


@pytest.mark.parametrize(
    ("text", "looped"),
    [
        ("file:a.wav", "file:a.wav#loop=yes"),
        ("file:a.wav#ch=1", "file:a.wav#ch=1&loop=yes"),
        ("file:take #2.wav#", "file:take #2.wav#loop=yes"),
        ("file:a.wav#loop=no", "file:a.wav#loop=no"),
        ("demo", "demo"),
        ("device:x#ch=1", "device:x#ch=1"),
        ("nothing:x", "nothing:x"),
    ],
)
def test_what_can_loop_is_made_to(text: str, looped: str) -> None:
    assert with_loop(text) == looped


def test_names_become_unique() -> None:
    specs = [parse_source(text) for text in ("device", "device#ch=2", "file:x#name=device-2", "device", "demo")]
    assert [spec.name for spec in name_sources(specs)] == ["device", "device-2", "device-2-2", "device-3", "demo"]


def test_a_long_name_stays_within_its_bound_when_made_unique() -> None:
    specs = name_sources([parse_source("device#name=" + "x" * 64)] * 11)
    assert len({spec.name for spec in specs}) == 11
    assert max(len(spec.name) for spec in specs) == 64


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://user:secret@cam:554/x?token=secret", "rtsp://cam:554/x?…"),
        ("http://host/a.mp3", "http://host/a.mp3"),
        ("http://[::1]:secret/", "http://…"),
        ("rtsp://user:sec#ret@cam/x", "rtsp://…"),
        ("rtsp://user:5/ecret@cam/x", "rtsp://…"),
        ("rtsp://user:5", "rtsp://user:5"),
        ("rtsp://us:secret://@cam", "rtsp://…"),
        ("us:secret://cam", "…"),
        ("user:secret@cam:554", "cam:554"),
        ("http://[fe80::1]:80/x?secret#secret", "http://[fe80::1]:80/x?…"),
        ("rtsp://user:secret@cret@cam", "rtsp://cam"),
    ],
)
def test_secrets_of_a_url_are_never_shown(url: str, shown: str) -> None:
    assert public_url(url) == shown


def test_a_spec_can_be_logged() -> None:
    spec = parse_source("url:rtsp://user:secret@cam/x?token=secret")
    assert spec.public == "url:rtsp://cam/x?…"
    assert "secret" not in repr(spec)


def test_formats_of_pipe_and_push() -> None:
    assert pipe_format("16000") == (16000, 1, "s16le")
    assert pipe_format(" 44100 , 2 , f32le") == (44100, 2, "f32le")
    assert push_format("attic") == ("attic", 48000)
    assert push_format("attic,8000") == ("attic", 8000)

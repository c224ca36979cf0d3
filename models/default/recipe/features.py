"""Spectra of the default model: 64 log-mel bands every 10 ms, with nothing of a quiet sound lost in the logarithm."""

from models.default.recipe.corpus import RATE
from streamclf.features.spec import LogMel
from streamclf.train.data.features import BatchFeatures
from streamclf.types import F32

HOP = RATE // 50
BANDS = 64
LOG_MEL = LogMel(
    # three shifts long: the newest frame ends where a row does, and nothing that was heard has to wait
    frame_length=480,
    frame_shift=160,
    fft_size=512,
    bands=BANDS,
    low_hz=50.0,
    high_hz=7600.0,
    mel_scale="htk",
    # white noise of -110 dBFS: levels are the net's own affair
    log_offset=1e-9,
)


def spectra(audio: F32) -> F32:
    """(B, rows * HOP) samples -> (B, 2 * rows, BANDS), each a stream from its beginning, as the engine gives them."""
    rows: F32 = BatchFeatures(LOG_MEL, RATE, layout="time-bands", context=HOP)(audio)
    return rows

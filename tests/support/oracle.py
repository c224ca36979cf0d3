"""What an engine must give, worked out the long way: whole signal, one window or step at a time, definitions only."""

import csv
from pathlib import Path

import numpy as np
import onnxruntime as ort

from streamclf.features.frontend import make_frontend
from streamclf.model.geometry import row_shape
from streamclf.model.loader import load_pack
from streamclf.model.pack import Encoded, Image, Pack
from streamclf.types import F32, Shape

HOP = 320


class Oracle:
    """Native rows and grid rows of a 16 kHz pack on a whole signal, by plain loops over the pack's definitions."""

    def __init__(self, folder: Path) -> None:
        self.pack: Pack = load_pack(folder)
        self.manifest = self.pack.manifest
        self._folder = folder
        if self.manifest.shape is Shape.FUSED:
            return
        ort.set_default_logger_severity(3)
        self._session = ort.InferenceSession(self.pack.model, providers=["CPUExecutionProvider"])

    def native(self, audio: F32, *, hop: int = 1) -> list[tuple[int, F32]]:
        """(first sample, (F, classes)) of every run that fits into `audio`; hop in frames, for windows."""
        manifest = self.manifest
        out = []
        state = {t.input: np.zeros([1 if d == 0 else d for d in t.shape], np.float32) for t in manifest.state}
        stateful = manifest.shape is Shape.STATEFUL
        span = manifest.step if stateful else manifest.window
        context = manifest.window - manifest.step if stateful else 0
        padded = np.concatenate([np.zeros(context, np.float32), audio])
        start = 0
        while start + span <= len(audio):
            window = padded[start : start + context + span]
            feeds = {manifest.input: self._features(window)[None], **state}
            names = [manifest.output, *(t.output for t in manifest.state)]
            rows, *states = self._session.run(names, feeds)
            state = {t.input: s for t, s in zip(manifest.state, states, strict=True)}
            out.append((start, rows.reshape(-1, rows.shape[-1])))
            start += manifest.step if stateful else hop * HOP
        return out

    def grid(self, audio: F32, *, hop: int = 1, latency: int = 0) -> dict[int, F32]:
        """frame -> final row, for all whole frames of `audio`, silence following it where a row needs it."""
        manifest = self.manifest
        frames = -(-len(audio) // HOP)
        if manifest.shape is Shape.FUSED:
            return self._fused_grid(audio, hop=hop, latency=latency)
        if manifest.shape is Shape.WINDOW_FRAMES:
            return self._frames_grid(audio, frames, hop=hop, latency=latency)
        whole = frames * HOP + manifest.look_ahead
        if manifest.shape is Shape.WINDOW_ROW:
            whole = max(whole, manifest.window)
        heard = np.concatenate([audio, np.zeros(max(0, whole - len(audio)), np.float32)])[:whole]
        span = manifest.step if manifest.shape is Shape.STATEFUL else manifest.window
        native = self.native(heard, hop=hop)
        rows = {}
        for frame in range(frames):
            bound = (frame + 1) * HOP + manifest.look_ahead
            known = [run[j] for start, run in native for j in range(len(run)) if start + span + j * HOP <= bound]
            if known:
                rows[frame] = known[-1]
            elif manifest.shape is Shape.WINDOW_ROW:
                rows[frame] = native[0][1][0]
        return rows

    def _fused_grid(self, audio: F32, *, hop: int, latency: int) -> dict[int, F32]:
        """Of fusion.csv as it is written, term by term."""
        grids, columns = {}, {}
        for member in self.manifest.members:
            oracle = Oracle(self._folder / "members" / member.name)
            grids[member.name] = oracle.grid(audio, hop=max(hop, member.hop_ms // 20), latency=latency)
            columns[member.name] = {label.id: column for column, label in enumerate(oracle.pack.labels)}
        labels = [label.id for label in self.pack.labels]
        with (self._folder / "fusion.csv").open(newline="") as file:
            terms = list(csv.DictReader(file))
        rows = {}
        for frame in sorted(set.intersection(*(set(grid) for grid in grids.values()))):
            total = np.zeros(len(labels))
            for term in terms:
                logit = 1.0
                if term["member"]:
                    p = grids[term["member"]][frame].astype(np.float64)
                    least = 1 / (1 + np.exp(self.manifest.clip))
                    p = p.clip(least, 1 - least)
                    named = [columns[term["member"]][name] for name in term["labels"].split()]
                    logit = float(np.log(p / (1 - p))[named].max())
                total[labels.index(term["label"])] += float(term["weight"]) * logit
            rows[frame] = (1 / (1 + np.exp(-total))).astype(np.float32)
        return rows

    def _frames_grid(self, audio: F32, frames: int, *, hop: int, latency: int) -> dict[int, F32]:
        manifest = self.manifest
        # the first window that holds the last frame is the last one
        whole = -(-max(0, frames - manifest.rows_per_window) // hop) * hop * HOP + manifest.window
        heard = np.concatenate([audio, np.zeros(max(0, whole - len(audio)), np.float32)])[:whole]
        native = self.native(heard, hop=hop)
        rows = {}
        for frame in range(frames):
            holds = [
                (start + manifest.window, run[frame - start // HOP])
                for start, run in native
                if 0 <= frame - start // HOP < len(run)
            ]
            if holds:
                in_time = [row for complete, row in holds if complete <= (frame + 1) * HOP + latency]
                rows[frame] = in_time[-1] if in_time else holds[0][1]
        return rows

    def _features(self, window: F32) -> F32:
        features = self.manifest.features
        if isinstance(features, Encoded):
            assert self.pack.encoder is not None
            encoder = ort.InferenceSession(self.pack.encoder, providers=["CPUExecutionProvider"])
            count = (len(window) - features.frame_length) // features.frame_shift + 1
            starts = [j * features.frame_shift for j in range(count)]
            frames = np.stack([window[start : start + features.frame_length] for start in starts])
            rows: F32 = encoder.run([features.output], {features.input: frames})[0]
            return rows
        frontend = make_frontend(self.manifest.features, self.manifest.rate, history=len(window))
        frontend.push(window)
        count = len(window) if not frontend.dims else frontend.available
        picture = isinstance(features, Image)
        out = np.zeros(row_shape(self.manifest) if picture else (count, *frontend.dims), np.float32)
        frontend.window(0, len(window), out)
        return out

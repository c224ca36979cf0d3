// The player of a clip: its spectrogram and level, a place to seek in, play, download.

import { button, element, icon, setText } from "../dom";
import { colourMap, cssOf } from "../live/colours";
import { t } from "../strings";
import { type Clip, Playback, fetchClip } from "./clip";
import type { Row } from "./row";
import { type Spectrum, spectrumOf } from "./spectrum";
import { fileName } from "./texts";

const PLAY = "M7 4.5v15l13-7.5z";
const PAUSE = "M6 4h4v16H6zM14 4h4v16h-4z";
const HIGHEST_HZ = 12_000;
/** Levels below the loudest that still have a colour, where the background is not above them. */
const RANGE_DB = 70;
/** Share of the picture's height that the level line has. */
const LEVEL_SHARE = 0.22;
const LEVEL_FLOOR_DB = -72;
const SEEK_STEP_S = 0.05;

export class ClipPlayer {
  readonly box = element("div", { class: "clip" });
  private readonly picture = element("canvas", { class: "clip-picture", attrs: { "aria-hidden": "true" } });
  private readonly head = element("div", { class: "clip-head" });
  private readonly toggleButton = button("", () => void this.toggle(), { class: "clip-play" });
  private readonly place = element("input", {
    class: "clip-place",
    attrs: { type: "range", min: "0", step: String(SEEK_STEP_S), "aria-label": t.events.clipPlace },
  });
  private readonly clock = element("span", { class: "clip-clock" });
  private readonly download = element("a", { class: "button clip-download", text: t.events.clipDownload });
  private readonly said = element("p", { class: "clip-said", attrs: { role: "status" } });
  private readonly stage = element("div", { class: "clip-stage" }, this.picture, this.head);
  private readonly controls = element(
    "div",
    { class: "clip-controls" },
    this.toggleButton,
    this.place,
    this.clock,
    this.download,
  );
  private shown = "";
  private loading: AbortController | null = null;
  private playback: Playback | null = null;
  private spectrum: Spectrum | null = null;
  /** Play as soon as it is there. */
  private eager = false;

  constructor() {
    this.box.append(this.said, this.stage, this.controls);
    this.place.addEventListener("input", () => void this.seek(Number(this.place.value)));
    this.stage.addEventListener("pointerdown", (event) => this.seekTo(event));
    new ResizeObserver(() => this.draw()).observe(this.stage);
    addEventListener("themechange", () => this.draw());
    this.box.hidden = true;
  }

  /** Show the clip of a row; the same one stays as it is. */
  async show(row: Row, rate: number, play: boolean): Promise<void> {
    if (this.shown === row.clip) {
      if (play && this.playback && !this.playback.playing) await this.toggle();
      return;
    }
    this.clear();
    this.shown = row.clip;
    this.eager = play;
    if (row.clip === "") return;
    this.box.hidden = false;
    setText(this.said, t.events.clipLoading);
    const loading = (this.loading = new AbortController());
    try {
      const clip = await fetchClip(row.id, rate, loading.signal);
      if (!loading.signal.aborted) await this.take(clip, row);
    } catch (fault) {
      if (!loading.signal.aborted) setText(this.said, t.events.clipFailed(String((fault as Error).message)));
    }
  }

  clear(): void {
    this.loading?.abort();
    this.playback?.pause();
    this.playback = null;
    this.spectrum = null;
    this.shown = "";
    URL.revokeObjectURL(this.download.href);
    this.box.hidden = this.stage.hidden = this.controls.hidden = true;
  }

  async toggle(): Promise<void> {
    const playback = this.playback;
    if (!playback) {
      this.eager = !this.eager;
      return;
    }
    if (playback.playing) playback.pause();
    else await playback.play();
    this.follow();
  }

  private async take(clip: Clip, row: Row): Promise<void> {
    this.download.href = URL.createObjectURL(new Blob([clip.bytes], { type: clip.kind }));
    this.download.download = fileName(row, clip.kind);
    this.controls.hidden = false;
    const { sound } = clip;
    this.toggleButton.hidden = this.place.hidden = this.clock.hidden = this.stage.hidden = sound === null;
    setText(this.said, sound === null ? t.events.clipUndecoded(clip.kind) : "");
    if (sound === null) return;
    this.box.dataset.samples = String(sound.length);
    this.playback = new Playback(sound, () => this.follow());
    this.place.max = String(sound.duration);
    const columns = Math.max(64, Math.min(900, this.stage.clientWidth || 600));
    this.spectrum = spectrumOf(sound.getChannelData(0), sound.sampleRate, columns, HIGHEST_HZ);
    this.draw();
    this.follow();
    if (this.eager) await this.toggle();
  }

  private async seek(seconds: number): Promise<void> {
    await this.playback?.seek(seconds);
    this.follow();
  }

  private seekTo(event: PointerEvent): void {
    const { left, width } = this.stage.getBoundingClientRect();
    if (this.playback) void this.seek(((event.clientX - left) / width) * this.playback.seconds);
  }

  /** Shows where the sound is, again and again while it plays. */
  private follow(): void {
    const playback = this.playback;
    if (!playback) return;
    const { position, seconds, playing } = playback;
    const name = playing ? t.events.pause : t.events.play;
    if (this.toggleButton.getAttribute("aria-label") !== name) {
      this.toggleButton.setAttribute("aria-label", name);
      this.toggleButton.replaceChildren(icon(playing ? PAUSE : PLAY));
    }
    this.place.value = String(position);
    this.place.setAttribute("aria-valuetext", t.events.seconds(position));
    setText(this.clock, t.events.clipClock(position, seconds));
    this.head.style.transform = `translateX(${(position / seconds) * this.stage.clientWidth}px)`;
    if (playing) requestAnimationFrame(() => this.follow());
  }

  private draw(): void {
    const { spectrum, stage, picture } = this;
    if (!spectrum || stage.clientWidth === 0) return;
    const ratio = window.devicePixelRatio;
    picture.width = Math.round(stage.clientWidth * ratio);
    picture.height = Math.round(stage.clientHeight * ratio);
    const context = picture.getContext("2d");
    if (!context) return;
    const colours = colourMap(getComputedStyle(stage).colorScheme === "dark");
    const levelHeight = Math.round(picture.height * LEVEL_SHARE);
    drawSpectrum(context, spectrum, colours, picture.width, picture.height - levelHeight);
    context.fillStyle = cssOf(colours[0]!);
    context.fillRect(0, picture.height - levelHeight, picture.width, levelHeight);
    drawLevels(context, spectrum.levels, cssOf(colours[150]!), picture.width, picture.height, levelHeight);
    this.follow();
  }
}

/** Heights are of the mel scale, as in the live view. */
function drawSpectrum(
  context: CanvasRenderingContext2D,
  spectrum: Spectrum,
  colours: Uint32Array,
  width: number,
  height: number,
): void {
  const { columns, bins, values, highHz, loudest, quiet } = spectrum;
  const floor = Math.max(quiet, loudest - RANGE_DB);
  const image = new ImageData(columns, height);
  const pixels = new Uint32Array(image.data.buffer);
  const top = mel(highHz);
  for (let y = 0; y < height; y++) {
    const bin = Math.min(bins - 1, (hertz((top * (height - 1 - y)) / height) / highHz) * bins);
    const low = Math.floor(bin);
    const share = bin - low;
    for (let column = 0; column < columns; column++) {
      const at = column * bins + low;
      const value = values[at]! * (1 - share) + values[low + 1 < bins ? at + 1 : at]! * share;
      const step = Math.round((255 * (value - floor)) / Math.max(1, loudest - floor));
      pixels[y * columns + column] = colours[Math.max(0, Math.min(255, step))]!;
    }
  }
  const still = document.createElement("canvas");
  still.width = columns;
  still.height = height;
  still.getContext("2d")?.putImageData(image, 0, 0);
  context.drawImage(still, 0, 0, width, height);
}

function drawLevels(
  context: CanvasRenderingContext2D,
  levels: Float32Array,
  colour: string,
  width: number,
  bottom: number,
  height: number,
): void {
  context.beginPath();
  context.moveTo(0, bottom);
  levels.forEach((level, column) => {
    const share = Math.max(0, 1 - level / LEVEL_FLOOR_DB);
    context.lineTo(((column + 0.5) * width) / levels.length, bottom - share * height);
  });
  context.lineTo(width, bottom);
  context.closePath();
  context.fillStyle = colour;
  context.fill();
}

function mel(hz: number): number {
  return 2595 * Math.log10(1 + hz / 700);
}

function hertz(value: number): number {
  return 700 * (10 ** (value / 2595) - 1);
}

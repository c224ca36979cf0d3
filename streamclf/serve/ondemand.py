"""Spectrum columns and live sound on their way to subscribers: shown or forgotten, and made only where wanted.

Columns are held for a replay's length, so that a page that opens later has a past to show; sound is held nowhere.
"""

from collections.abc import Callable, Iterable, Mapping

from streamclf import metrics
from streamclf.clock import FRAMES_PER_SECOND, NS_PER_SECOND
from streamclf.protocol.sound import SoundBlock
from streamclf.serve.framing import binary_frame
from streamclf.serve.gallery import Gallery
from streamclf.serve.info import StreamInfo
from streamclf.serve.subscription import Channel
from streamclf.types import Picture, Sound


class OnDemand:
    """streams: in the order of `hello`. channels: the hub's own, as they come and go. frames: how many are held.

    on_picture: called when somebody wants to see spectrum columns, and when for a replay's length nobody did. on_sound:
    called when the first listener to a stream has come, and when the last one has gone.
    """

    def __init__(
        self,
        streams: Mapping[str, StreamInfo],
        channels: Iterable[Channel],
        *,
        frames: int,
        on_picture: Callable[[bool], object],
        on_sound: Callable[[str, bool], object],
    ) -> None:
        self._on_picture = on_picture
        self._on_sound = on_sound
        self._streams = streams
        self._index = {name: i for i, name in enumerate(streams)}
        self._channels = channels
        self._frames = frames
        self._galleries = {name: Gallery(i, frames=frames) for name, i in self._index.items()}
        self._forget_ns = frames // FRAMES_PER_SECOND * NS_PER_SECOND
        self._drawing = False
        self._fetched = False
        self._looked_ns = 0
        self._tapped: set[str] = set()

    def ask(self) -> None:
        """Subscriptions have changed: ask for what they want, and for no other sound."""
        specs = [channel.spec for channel in self._channels]
        if any(spec.picture for spec in specs):
            self._draw()
        wanted = {spec.audio for spec in specs if spec.audio is not None}
        for stream in sorted(wanted ^ self._tapped):
            self._on_sound(stream, stream in wanted)
        self._tapped = wanted

    def columns(self, stream: str, frame: int) -> bytes:
        """The columns of `stream` that are held and end behind `frame`. Raises KeyError for a name nothing has.

        A fetch counts as looking: columns are made from now on, for a replay's length.
        """
        held = self._galleries[stream].since(frame)
        self._fetched = True
        self._draw()
        return held

    def forget(self, stream: str) -> None:
        """Hold none of its columns any more: it begins anew."""
        self._galleries[stream] = Gallery(self._index[stream], frames=self._frames)

    def picture(self, picture: Picture, *, sent_ns: int) -> None:
        """Hold columns and show them to the subscribers that want them."""
        stream = picture.levels.stream
        lookers = [channel for channel in self._channels if channel.spec.picture]
        for message in self._galleries[stream].add(picture):
            frame = binary_frame(message)
            for channel in lookers:
                if stream in channel.spec.streams:
                    metrics.PICTURES_DROPPED.inc(channel.show(frame))
        if lookers or self._fetched:
            self._looked_ns, self._fetched = sent_ns, False
        elif self._drawing and sent_ns - self._looked_ns > self._forget_ns:
            self._drawing = False
            self._on_picture(False)

    def _draw(self) -> None:
        if not self._drawing:
            self._drawing = True
            self._on_picture(True)

    def sound(self, sound: Sound) -> None:
        """Give sound to the subscribers that listen; there may be none any more."""
        listening = [channel for channel in self._channels if channel.spec.audio == sound.stream]
        if not listening:
            return
        index, rate = self._index[sound.stream], self._streams[sound.stream].rate
        for number, samples in enumerate(sound.samples, sound.first_frame):
            frame = binary_frame(SoundBlock(index, rate, number * len(samples), samples).encode())
            for channel in listening:
                metrics.SOUND_DROPPED.inc(channel.show(frame))

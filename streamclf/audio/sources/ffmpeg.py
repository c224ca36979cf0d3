"""FFmpeg by PyAV, for addresses and for recordings: whether it is there, and how it is opened whatever its version."""

from importlib.util import find_spec
from typing import Any

RECORDINGS = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,dts,eac3,flac,flv,gsm,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,ogg,rm,tak,tta,"
    "voc,w64,wav,wv,iff,ircam,loas,mlp,nistsphere,oma,qcp,shn,sox,truehd,vqf,xwma,"
    # of voice recorders, telephones, cameras and stations
    "aa,ac4,act,amrnb,amrwb,bonk,codec2,dhav,dss,dtshd,dv,g722,g723_1,g729,gxf,iamf,ilbc,lc3,mxf,nsv,nut,osq,"
    "qoa,rka,sln,spdif,wavarc,wsd,wtv,wve"
)
"""What FFmpeg may take a file for: no play list, which would be read from other places, and no picture or text."""


def is_there() -> bool:
    """Whether PyAV is installed."""
    return find_spec("av") is not None


def load() -> Any:
    """The package `av`, None where it is not installed."""
    try:
        import av
    except ImportError:
        return None
    return av


def open_input(av: Any, place: str, *, options: dict[str, str], timeout_s: float | None = None) -> Any:
    """A container to read from. options: FFmpeg's. timeout_s: of opening, and of each read. Raises what PyAV raises."""
    more: dict[str, Any] = {} if timeout_s is None else {"timeout": (timeout_s, timeout_s)}
    if int(av.__version__.split(".")[0]) < 19:  # from 19 on tags that are not UTF-8 are no error any more
        more["metadata_errors"] = "replace"
    return av.open(place, options=options, **more)

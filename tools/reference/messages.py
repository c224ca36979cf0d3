"""An example of every message of the protocol, for its page. They are the structs themselves: none can be wrong."""

from streamclf.protocol import wire
from streamclf.types import Shape

_T = 1_780_000_000_000_000_000

EXAMPLES: tuple[wire.Message, ...] = (
    wire.Hello(
        protocol=wire.PROTOCOL,
        version="1.0.0",
        instance="3f6c1a90",
        seq=41200,
        oldest_seq=36702,
        streams=[
            wire.StreamEntry(
                name="garden",
                rate=48000,
                epoch_ns=_T,
                source="device USB Mic",
                state="live",
                detail="",
                demo=False,
                priority=0,
                packs=["default"],
                push=False,
                test=False,
            )
        ],
        packs=[
            wire.PackEntry(
                name="default",
                version="1",
                digest="9f2b…",
                shape=Shape.STATEFUL,
                labels=[
                    wire.LabelEntry(id="speech", name="Speech", group="voice", hidden=False, enter=0.5),
                    wire.LabelEntry(id="bird", name="Bird", group="bird", hidden=False, enter=0.6),
                ],
                exclusive=False,
                window_ms=25.0,
                look_ahead_ms=100.0,
                algorithmic_latency_ms=120.0,
                receptive_field_ms=None,
                hop_ms=20,
                provider="cpu",
                latency_ms=None,
            )
        ],
    ),
    wire.Subscribed(
        seq=41200,
        channel=1,
        tier="batch",
        encoding="json",
        final="all",
        top_k=None,
        min_prob=None,
        picture=False,
        audio=None,
        streams=["garden"],
        packs=[wire.ChannelPack(name="default", labels=["bird"])],
        since=None,
    ),
    wire.Scores(
        stream="garden",
        pack="default",
        seq=41210,
        first_frame=205000,
        count=2,
        labels=["speech", "bird"],
        rows=[[0.012, 0.871], [0.011, 0.902]],
        final=True,
        captured_ns=_T + 4_100_140_000_000,
        decided_ns=_T + 4_100_141_000_000,
        sent_ns=_T + 4_100_142_000_000,
    ),
    wire.Event(
        stream="garden",
        pack="default",
        seq=41260,
        id="garden-default-17",
        label="bird",
        stage="close",
        onset_frame=204990,
        offset_frame=205070,
        peak=0.94,
        mean=0.81,
        onset_ns=_T + 4_099_800_000_000,
        offset_ns=_T + 4_101_400_000_000,
        captured_ns=_T + 4_101_700_000_000,
        decided_ns=_T + 4_101_701_000_000,
        sent_ns=_T + 4_101_702_000_000,
    ),
    wire.Gap(stream="garden", seq=41300, first_sample=197_280_000, last_sample=197_327_999, reason="device lost"),
    wire.Status(stream="garden", pack="", state="lost", detail="USB Mic was unplugged; waiting for it", seq=41301),
    wire.Lagged(seq=41400, from_seq=41310, to_seq=41400, dropped=91, reason="replay"),
    wire.Error(code="bad-subscription", message="unknown field 'label'; did you mean 'labels'?"),
    wire.Pushing(stream="kitchen", rate=16000, format="s16le"),
    wire.Marked(event="3f6c1a90/garden-default-17", mark="wrong", label="wren", seq=41500),
    wire.Subscribe(labels=["group:bird"], top_k=3, since=41210, instance="3f6c1a90"),
    wire.Push(stream="kitchen", rate=16000, sender="b3f1c0"),
    wire.Mark(event="3f6c1a90/garden-default-17", mark="wrong", label="wren"),
)

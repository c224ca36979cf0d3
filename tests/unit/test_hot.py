"""Which keys differ, and which of them are taken over while the daemon runs."""

from streamclf.config import SECTIONS, ClipsConfig, Config, DecisionConfig, ServerConfig
from streamclf.daemon.hot import HOT, differing, with_keys

ONE = Config()
OTHER = Config(
    threads=2,
    server=ServerConfig(port=1, listening=True),
    clips=ClipsConfig(enabled=True),
    segmentation={"bird": DecisionConfig(enter=0.4)},
)


def test_keys_that_differ_are_named_with_their_section() -> None:
    assert differing(ONE, ONE) == []
    assert sorted(differing(ONE, OTHER)) == [
        "clips.enabled", "segmentation", "server.listening", "server.port", "threads",
    ]  # fmt: skip


def test_what_waits_for_a_restart_stays_as_it_was() -> None:
    waiting = [key for key in differing(ONE, OTHER) if key not in HOT]
    taken = with_keys(OTHER, waiting, ONE)
    assert sorted(waiting) == ["server.port", "threads"]
    assert sorted(differing(ONE, taken)) == ["clips.enabled", "segmentation", "server.listening"]


def test_every_hot_key_is_one_of_the_configuration() -> None:
    known = {name for name in Config.__struct_fields__ if name not in SECTIONS}
    known |= {f"{name}.{key}" for name, section in SECTIONS.items() for key in section.__struct_fields__}
    assert known > HOT

"""Configuration: TOML files, environment, flags, in this order of growing weight. An unknown key is an error.

    /etc/streamclf/config.toml  <  user's streamclf/config.toml  <  --config FILE  <  STREAMCLF_*  <  flags

Every key has an environment variable: `STREAMCLF_` and the key in capitals, `server.port` being STREAMCLF_SERVER_PORT.
A value that is not plain text is written there as in TOML: STREAMCLF_SOURCE='["device", "file:song.flac"]'.
"""

from streamclf.config.environment import RESERVED, for_children, variables
from streamclf.config.kserve import KserveConfig
from streamclf.config.loading import files, load, rules_file, store_folder, system_file, user_file
from streamclf.config.nats import NatsConfig
from streamclf.config.sections import (
    HEARTBEAT,
    MAX_REACH_BACK_MS,
    ORIGIN,
    SECTIONS,
    ClipsConfig,
    Config,
    DecisionConfig,
    LoudnessConfig,
    PostgresConfig,
    ScoresConfig,
    SelftestConfig,
    ServerConfig,
    SpeciesConfig,
    StoreConfig,
    WatchConfig,
    struct_of,
)

__all__ = [
    "HEARTBEAT",
    "MAX_REACH_BACK_MS",
    "ORIGIN",
    "RESERVED",
    "SECTIONS",
    "ClipsConfig",
    "Config",
    "DecisionConfig",
    "KserveConfig",
    "LoudnessConfig",
    "NatsConfig",
    "PostgresConfig",
    "ScoresConfig",
    "SelftestConfig",
    "ServerConfig",
    "SpeciesConfig",
    "StoreConfig",
    "WatchConfig",
    "files",
    "for_children",
    "load",
    "rules_file",
    "store_folder",
    "struct_of",
    "system_file",
    "user_file",
    "variables",
]

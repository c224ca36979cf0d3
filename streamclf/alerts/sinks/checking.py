"""Whether sinks could send, without sending: `streamclf rules check` asks before the first alert does."""

import asyncio
from collections.abc import Mapping

from streamclf.alerts.sinks import import_needs, kind_of
from streamclf.alerts.sinks.config import SinkConfig
from streamclf.alerts.sinks.picture import check_pillow
from streamclf.alerts.sinks.sink import Temporary
from streamclf.errors import ConfigError
from streamclf.text import hide_secrets, one_line

LIMIT_S = 5.0


def obstacles(sinks: Mapping[str, SinkConfig]) -> dict[str, str]:
    """Sink -> what stands in its way, a sentence; those that could send are not in it."""
    return asyncio.run(_obstacles(sinks))


async def _obstacles(sinks: Mapping[str, SinkConfig]) -> dict[str, str]:
    found = await asyncio.gather(*(_obstacle(name, config) for name, config in sinks.items()))
    return {name: said for name, said in zip(sinks, found, strict=True) if said}


async def _obstacle(name: str, config: SinkConfig) -> str:
    try:
        import_needs(name, config)
        if getattr(config, "picture", False):
            check_pillow()
        async with asyncio.timeout(LIMIT_S):
            await kind_of(config).check(config)
    except TimeoutError:
        return f"no answer within {LIMIT_S:.0f} s"
    except (ConfigError, Temporary) as fault:
        return one_line(hide_secrets(str(fault), paths=False))
    except Exception as fault:  # of a library, or of a kind from elsewhere: the other sinks are looked at all the same
        return one_line(hide_secrets(f"it cannot be checked: {fault!r}", paths=False))
    return ""

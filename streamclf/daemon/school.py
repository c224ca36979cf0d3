"""What is taught here and by whom: opened with the daemon, for an engine that has its streams."""

import logging
import sqlite3
import time
from contextlib import closing
from functools import partial

from streamclf.daemon.teaching import School, usable
from streamclf.engine.embed import hosts_of
from streamclf.engine.engine import Engine
from streamclf.engine.taughtpack import NAME, TaughtPack
from streamclf.errors import StoreError
from streamclf.store import taught
from streamclf.store.database import Store, reader
from streamclf.teach.tutor import GROUP, Tutor, heads_of

log = logging.getLogger("streamclf")


def open_school(engine: Engine, store: Store | None) -> School:
    """What was taught before, for an engine that has its streams; it has a row from the first frame on."""
    if store is None:
        return School()
    hosts = hosts_of([runner.pack for runner in engine.runners])
    school = School(Tutor(hosts, store.folder, partial(reader, store.folder)))
    for host in hosts:
        name = NAME if host is hosts[0] else f"{NAME}-{host.name}"
        school.packs[host.name] = TaughtPack(engine, host, name=name)
    assert school.tutor is not None
    try:
        for made, heard, why in school.tutor.mended(now_ns=time.time_ns()):
            if why:
                school.problems[made.label] = why
                log.error("taught: %s", why)
            with store.transaction() as tx:
                if not why:
                    taught.put_class(tx, made)
                for example in heard:
                    taught.put_example(tx, example)
            if not why:
                log.info("taught: %s was fitted anew, for %s is another version", made.label, made.host)
        with closing(reader(store.folder)) as connection:
            known = taught.classes(connection)
            school.ever = {*taught.ever(connection), f"group:{GROUP}"}
    except (StoreError, sqlite3.Error) as fault:
        log.error("taught: what was taught cannot be read: %s", fault)
        return school
    for pack in school.packs.values():
        pack.use(*heads_of([one for one in known if usable(one, pack.host)]))
    for one in known:
        if one.host not in school.packs:
            school.problems[one.label] = f"'{one.label}' rests on the pack {one.host}, which does not run here"
            log.warning("taught: %s", school.problems[one.label])
    return school

"""What sound libraries print is held back; what others write meanwhile is not lost, also where a call hangs."""

import subprocess
import sys
import textwrap


def said(script: str) -> list[str]:
    """What a process that runs `script` has on standard error, with a file as that."""
    head = "import os, threading, time\nfrom streamclf.audio.sources.hush import hush\n"
    done = subprocess.run(
        [sys.executable, "-c", head + textwrap.dedent(script)], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stderr.splitlines()


def test_noise_is_held_back_and_the_rest_is_told_in_order() -> None:
    script = """
        os.write(2, b"before\\n")
        for number in range(3):
            with hush():
                os.write(2, b"ALSA lib pcm.c:1: cannot\\nExpression 'ret' failed\\n\\n")
                os.write(2, b"a line of the log %d\\n" % number)
        os.write(2, b"after\\n")
    """
    assert said(script) == ["before", *(f"a line of the log {n}" for n in range(3)), "after"]


def test_a_call_that_hangs_holds_back_no_line_for_long() -> None:
    script = """
        with hush():
            os.write(2, b"first\\n")
            while os.readlink("/proc/self/fd/2").startswith("/memfd"):
                time.sleep(0.01)
            os.write(2, b"second\\n")
        os.write(2, b"third\\n")
    """
    # what was held back comes while others write already, so the order is free
    assert sorted(said(script)) == ["first", "second", "third"]


def test_lines_of_other_threads_are_all_there() -> None:
    script = """
        over = threading.Event()
        def log():
            for number in range(2000):
                os.write(2, b"%d\\n" % number)
            over.set()
        threading.Thread(target=log).start()
        while not over.is_set():
            with hush():
                os.write(2, b"ALSA lib\\n".replace(b"\\n", b" x\\n"))
    """
    assert sorted(map(int, said(script))) == list(range(2000))


def test_without_standard_error_it_does_nothing() -> None:
    assert said("os.close(2)\nwith hush():\n    pass\n") == []

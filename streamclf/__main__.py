"""`python -m streamclf`."""

import os

try:
    from streamclf.cli import main

    main()
except KeyboardInterrupt:  # while Python was still reading modules
    os._exit(130)

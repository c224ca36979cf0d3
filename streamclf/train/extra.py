"""The libraries of the extra `train`, imported when they are needed, and one sentence where they are not there."""

import importlib
import logging
import warnings
from types import ModuleType

from streamclf.errors import StreamclfError


def need(name: str) -> ModuleType:
    """The module `name`; what it warns of while it is imported is kept quiet. Raises StreamclfError if it is absent."""
    # where listing the machine's fonts takes over 5 s matplotlib says so, amid what was asked for
    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # sed_eval's helpers import pkg_resources, which warns of its own end
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as fault:
        missing = fault.name or name
        raise StreamclfError(
            f"{name.split('.')[0]} cannot be imported ({missing} is missing); "
            "training and evaluation need `pip install 'streamclf[train]'`"
        ) from None

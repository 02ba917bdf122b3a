"""Open the web page: python infer-web.py --help."""

import logging
import os
import sys

import config
from options import parse_options
from tools.machine.environment import page_environment, quick_gradio
from tools.options import WebOptions


def main() -> None:
    """Read the command line, prepare this process's environment and serve until Ctrl-C."""
    options = parse_options(WebOptions)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per request otherwise
    # The one place where this program changes its environment: gradio reads it when imported.
    os.environ.update(page_environment(os.environ))
    os.chdir(config.ROOT)  # gradio hands out files from the working folder only

    with quick_gradio():
        from tools.web.app import serve

    try:
        serve(options)
    except ValueError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()

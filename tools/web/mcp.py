"""Files for the tools of the Model Context Protocol: uploads to the page are taken, too."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import unquote

from gradio.utils import get_upload_folder
from gradio_client import handle_file

UPLOADED = "/gradio_api/file="


def accept_uploads(server: Any) -> None:
    """Let gradio's server take an upload by the path or the address that the upload was given.

    It fetches addresses, but refuses those of this computer, the page's own among them.
    """
    convert = server.convert_strings_to_filedata

    def convert_uploads(arguments: Any, places: list[list[str | int]]) -> Any:
        """What a tool is called with; uploads as files, the rest as gradio takes it."""
        uploads = {}
        for name, value in arguments.items():
            if [name] in places and isinstance(value, str) and (path := uploaded(value)):
                uploads[name] = handle_file(path)
        others = {name: value for name, value in arguments.items() if name not in uploads}
        return convert(others, places) | uploads

    server.convert_strings_to_filedata = convert_uploads


def uploaded(text: str) -> Path | None:
    """The upload that a path or an address names, None where it names none."""
    if text.startswith(("http://", "https://")):
        _, found, text = text.partition(UPLOADED)
        text = unquote(text) if found else ""
    if not text or "\0" in text:
        return None
    path = Path(text).resolve()
    is_upload = path.is_relative_to(Path(get_upload_folder()).resolve()) and path.is_file()
    return path if is_upload else None

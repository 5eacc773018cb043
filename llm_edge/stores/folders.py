"""
The directory of the disk tier: whose it is, who may write there, and which part of it is in use.

    directory/            0700
      secret              0600   what the entries are signed with
      answers-1/          0700   the database, until it is found broken
      answers-1.corrupt-1795000000/
      answers-2/                 its successor

A broken database is set aside by renaming its folder, and a name is never used twice: SQLite finds the files beside a
database by name, so somebody who still has the old one open must not find the new one's.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from pathlib import Path

from ..errors import ConfigError

DATABASE = "cache.db"
KEPT_ASIDE = 2
"""Broken databases that are kept for whoever wants to look into them."""

_SECRET = 32
_FOLDER = re.compile(r"answers-(\d{1,9})(\.corrupt-\d+)?")
_OURS = os.O_NOFOLLOW | os.O_CLOEXEC if hasattr(os, "O_NOFOLLOW") else 0


def settle(directory: Path) -> None:
    """Make the directory, or see that it is fit for keeping answers. Raises ConfigError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(f"cannot be made: {error.strerror or 'the system refuses'}", "Name another directory.") from None
    if wrong := unfit(directory):
        raise _refused(*wrong)


def unfit(directory: Path) -> tuple[str, str] | None:
    """What is wrong with a directory and how to mend it; None when it may hold answers."""
    found = directory.lstat()
    if stat.S_ISLNK(found.st_mode):
        return "is a symbolic link", "Name the directory itself."
    if not stat.S_ISDIR(found.st_mode):
        return "is not a directory", "Name a directory."
    if not hasattr(os, "geteuid"):
        return None
    if found.st_uid != os.geteuid():
        return "belongs to another user", "Name a directory of the user that runs the program."
    if found.st_mode & 0o022:
        return "can be written by others", "Take that right away (chmod 700), or name another directory."
    return None


def _refused(what: str, fix: str) -> ConfigError:
    return ConfigError(f"cache.disk.directory: {what}. {fix}")


def secret(directory: Path) -> bytes:
    """The secret that this directory's entries are signed with, made once. OSError when it can be neither."""
    file = directory / "secret"
    found = _read_secret(file)
    if found is None:
        _write_secret(file, secrets.token_bytes(_SECRET))
        found = _read_secret(file)
    if found is None:
        raise OSError("there is no usable secret")
    return found


def keep_secret(directory: Path, value: bytes) -> None:
    """Write the secret down again in a directory that has lost it."""
    if _read_secret(directory / "secret") is None:
        _write_secret(directory / "secret", value)


def _read_secret(file: Path) -> bytes | None:
    """What stands in the file; None when there is none of ours. One that cannot be ours is moved out of the way."""
    try:
        handle = os.open(file, os.O_RDONLY | _OURS)
    except FileNotFoundError:
        return None
    with os.fdopen(handle, "rb") as opened:
        found = os.fstat(handle)
        alone = not hasattr(os, "geteuid") or (found.st_uid == os.geteuid() and not found.st_mode & 0o077)
        content = opened.read(_SECRET + 1)
    if alone and len(content) == _SECRET:
        return content
    file.unlink(missing_ok=True)
    return None


def _write_secret(file: Path, value: bytes) -> None:
    # Written aside and linked into place: of several processes one wins, and nobody sees half of it.
    aside = file.with_name(f".secret-{secrets.token_hex(8)}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _OURS, 0o600)
    try:
        with os.fdopen(handle, "wb") as opened:
            opened.write(value)
            opened.flush()
            os.fsync(handle)
        try:
            os.link(aside, file)
        except FileExistsError:
            pass
    finally:
        aside.unlink(missing_ok=True)


def current(directory: Path, after: int = 0) -> tuple[Path, int]:
    """The folder in use and its number, which is more than `after`; made when there is none."""
    numbers, used = [after], [after]
    for entry in directory.iterdir():
        if found := _FOLDER.fullmatch(entry.name):
            (used if found[2] else numbers).append(int(found[1]))
    number = max(numbers)
    if number <= max(used):
        number = max(used) + 1
    folder = directory / f"answers-{number}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if wrong := unfit(folder):
        raise OSError(f"a folder in it {wrong[0]}")
    # Made before SQLite would, which asks the umask; its other files take their rights from this one.
    os.close(os.open(folder / DATABASE, os.O_RDWR | os.O_CREAT | _OURS, 0o600))
    return folder, number


def set_aside(folder: Path, moment: float) -> None:
    """Rename a broken folder; of those set aside earlier only the latest stay."""
    try:
        folder.rename(folder.with_name(f"{folder.name}.corrupt-{int(moment)}"))
    except OSError:
        pass  # another process did it
    aside = sorted(folder.parent.glob("answers-*.corrupt-*"), key=lambda path: path.lstat().st_mtime)
    for old in aside[:-KEPT_ASIDE]:
        shutil.rmtree(old, ignore_errors=True)

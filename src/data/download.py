"""Downloads the files of a known data set from the first place that has them, with verified checksums."""

import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pooch
from filelock import FileLock
from requests import RequestException

from src.core.errors import AssayError, first_line
from src.core.files import replaced
from src.core.hashing import file_hash

Say = Callable[[str], None]

BLOCK_BYTES = 2**18
TIMEOUT = 30  # seconds without a byte
HEADERS = {"Accept-Encoding": "identity"}  # or a server may compress, and requests unpack
# The gzip headers of the mirrors' files carry a name and another time than those of Debian's package; the
# rest is equal. All files get Debian's header, so that the bytes (and DVC's hash) do not depend on the place.
GZIP_MAGIC = b"\x1f\x8b\x08"
GZIP_NAMED = 8  # flag: a name that ends with 0 follows the header
GZIP_HEADER = bytes.fromhex("1f8b0800ed0ada5e0003")


class NotFoundError(Exception):
    """A place lacks the file or does not respond; the text says which."""


def download(
    folder: Path, files: Mapping[str, str], places: Sequence[str], cache: Path, say: Say
) -> list[str]:
    """Complete ``folder`` from the first of ``places`` that has the missing files.

    The files are collected in ``cache`` and move to ``folder`` once all have arrived; after a kill the next
    call continues with what is there. One process at a time; the others wait.

    Args:
        files: name and SHA-256 of each file.
        places: folders or http addresses, tried in this order.

    Returns:
        The names of the files that were missing or damaged.

    Raises:
        AssayError: no place has a file, or a checksum is wrong. The next place is not asked then: somebody
            should find out why.
    """
    pooch.get_logger().setLevel("WARNING")  # ``say`` tells what happens
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{cache}.lock"):
        missing = [name for name, digest in files.items() if not _is_intact(folder / name, digest)]
        left = list(places)
        for name in missing:
            _download_one(cache, name, files[name], left, say)
        folder.mkdir(parents=True, exist_ok=True)
        for name in missing:
            with replaced(folder / name) as beside:
                shutil.move(cache / name, beside)
        shutil.rmtree(cache)
    return missing


def _download_one(cache: Path, name: str, digest: str, places: list[str], say: Say) -> None:
    """Put the file into ``cache``; a place that fails is not asked for the files that follow."""
    reasons: list[str] = []
    while places:
        place = places[0]
        try:
            pooch.retrieve(_address(place, name), digest, name, cache, downloader=_transfer)
        except (NotFoundError, RequestException) as error:
            reasons.append(f"{places.pop(0)}: {_reason(error)}")
            say(f"not from {reasons[-1]}")
        except ValueError as error:  # pooch's word for a wrong checksum
            raise AssayError(
                f"{name} from {place} has the wrong checksum. It was damaged or changed on the way and has "
                f"been deleted. Try again, or another place (--from DIR, --mirror URL)\n{error}"
            ) from error
        else:
            say(f"{name} from {place}, checksum right")
            return
    raise AssayError(
        f"no place has {name}:\n"
        + "\n".join(f"  {reason}" for reason in reasons or ["all places failed for an earlier file"])
        + "\nName a folder that has it (--from DIR) or another mirror (--mirror URL)."
    )


def _reason(error: Exception) -> str:
    """The cause without the connection and the address, which requests repeats around it."""
    cause = getattr(next(iter(error.args), None), "reason", error)
    return first_line(cause).partition("): ")[2] or first_line(cause)


def _address(place: str, name: str) -> str:
    return f"{place.rstrip('/')}/{name}"


def _transfer(address: str, target: str, _: object) -> None:
    """Copy one file from a server or a folder, and give it the common header."""
    if address.startswith(("http://", "https://")):
        http = pooch.HTTPDownloader(
            progressbar=sys.stderr.isatty(), chunk_size=BLOCK_BYTES, timeout=TIMEOUT, headers=HEADERS
        )
        http(address, target, None)
    elif Path(address).is_file():
        shutil.copyfile(address, target)
    else:
        raise NotFoundError(f"it has no {Path(address).name}")
    path = Path(target)
    path.write_bytes(_with_common_header(path.read_bytes()))


def _with_common_header(content: bytes) -> bytes:
    """The same gzip file with `GZIP_HEADER`; anything else comes back as it is."""
    if content[:3] != GZIP_MAGIC or content[3:4] not in (b"\0", bytes([GZIP_NAMED])):
        return content
    start = content.find(b"\0", 10) + 1 if content[3] else 10
    return GZIP_HEADER + content[start:] if start else content


def _is_intact(path: Path, digest: str) -> bool:
    return path.is_file() and file_hash(path) == digest

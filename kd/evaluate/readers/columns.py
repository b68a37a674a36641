"""CSV files with a fixed first line."""

import csv
from collections.abc import Iterator
from pathlib import Path

from kd.errors import ProtocolInvalid


def read_columns(path: Path, fields: tuple[str, ...]) -> Iterator[tuple[int, list[str]]]:
    """(line number, values in the order of `fields`) of each line after the first. Raises ProtocolInvalid."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            if tuple(next(reader, ())) != fields:
                raise ProtocolInvalid("unexpected columns", str(path), f"The first line must be {','.join(fields)}.")
            for row in reader:
                if len(row) != len(fields):
                    raise bad_line(path, reader.line_num, f"{len(row)} values", f"must be {len(fields)}")
                yield reader.line_num, row
    except OSError as error:
        raise ProtocolInvalid(str(error.strerror), str(path), "Give the path of the protocol's CSV file.") from None
    except (UnicodeDecodeError, csv.Error):
        raise ProtocolInvalid("does not read as CSV in UTF-8", str(path), "Save the list as CSV again.") from None


def bad_line(path: Path, line: int, found: str, rule: str) -> ProtocolInvalid:
    return ProtocolInvalid(f"{found}, but {rule}", f"{path}:{line}", "Correct this line.")


def only_file(folder: Path, pattern: str) -> Path | None:
    """The one file of this name in the folder, None where there is none. Raises ProtocolInvalid when there are more."""
    found = sorted(folder.glob(pattern))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ProtocolInvalid(f"found {names}", str(folder), f"A protocol has one {pattern}.")
    return found[0] if found else None

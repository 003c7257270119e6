"""pack.py DIRECTORY ZIP: what is below DIRECTORY as a zip, the same bytes wherever it is made.

Sorted, without the times and the owners of the files; a file is executable or it is not. Links
stay links.
"""

import os
import stat
import sys
import zipfile
from pathlib import Path


def pack(root: Path, out: Path) -> None:
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(root.rglob("*")):
            if path.is_dir() and not path.is_symlink():
                continue
            entry = zipfile.ZipInfo(str(path.relative_to(root)))  # of 1980, where zip begins
            entry.create_system = 3  # modes are Unix's
            entry.compress_type = zipfile.ZIP_DEFLATED
            if path.is_symlink():
                mode, content = stat.S_IFLNK | 0o777, os.readlink(path).encode()
            else:
                mode = 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644
                mode, content = stat.S_IFREG | mode, path.read_bytes()
            entry.external_attr = mode << 16
            archive.writestr(entry, content)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))

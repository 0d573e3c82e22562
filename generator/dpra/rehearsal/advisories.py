"""A database of known vulnerabilities as trivy reads it, with the few advisories of advisories.yml: for rehearsals.

trivy's database is one bbolt file. This writes one with all buckets inline in a single leaf page, which is all that a
reader needs; the format is described in https://github.com/etcd-io/bbolt (page.go, bucket.go, meta.go)."""

import datetime
import json
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

Tree = dict[str, Any]  # a key's value: bytes, or the Tree of a nested bucket
PAGE = 4096
MAGIC, VERSION = 0xED0CDAED, 2
LEAF, META, FREELIST = 0x02, 0x04, 0x10
SEVERITIES = {"low": 1, "medium": 2, "high": 3, "critical": 4}
ECOSYSTEMS = {
    name: {"ID": "ghsa", "Name": f"GitHub Security Advisory {said}", "URL": "https://github.com/advisories"}
    for name, said in {"pip": "pip", "npm": "npm", "maven": "Maven", "go": "Go"}.items()
}


def write(folder: Path) -> dict[str, str]:
    """Write trivy's cache folder; the environment variables by which it uses that, and fetches nothing."""
    found: Tree = {"data-source": {}, "vulnerability": {}}
    for one in every():
        source = ECOSYSTEMS.get(one["ecosystem"])
        bucket = f"{one['ecosystem']}::{source['Name']}" if source else one["ecosystem"]
        if source:
            found["data-source"][bucket] = _json(source)
            said: dict[str, Any] = {"VulnerableVersions": [one["vulnerable"]], "PatchedVersions": [one["patched"]]}
        else:
            said = {"FixedVersion": one["patched"]}
        found.setdefault(bucket, {}).setdefault(one["package"], {})[one["id"]] = _json(said)
        severity = SEVERITIES[one["severity"]]
        detail = {"Title": one["title"], "Severity": one["severity"].upper(), "VendorSeverity": {"ghsa": severity}}
        found["vulnerability"][one["id"]] = _json(detail)
    (folder / "db").mkdir(parents=True)
    (folder / "db" / "trivy.db").write_bytes(database(found))
    now = datetime.datetime.now(datetime.UTC)
    later = now + datetime.timedelta(days=1)
    times = {"NextUpdate": later.isoformat(), "UpdatedAt": now.isoformat(), "DownloadedAt": now.isoformat()}
    (folder / "db" / "metadata.json").write_bytes(_json({"Version": 2, **times}))
    # Jars are known by their sums, from a database of its own: here of none, so that each says itself what it is.
    (folder / "java-db").mkdir()
    (folder / "java-db" / "metadata.json").write_bytes(_json({"Version": 1, **times}))
    with closing(sqlite3.connect(folder / "java-db" / "trivy-java.db")) as jars:
        jars.execute("CREATE TABLE artifacts (id INTEGER PRIMARY KEY, group_id TEXT, artifact_id TEXT)")
        jars.execute("CREATE TABLE indices (artifact_id INTEGER, version TEXT, sha1 BLOB, archive_type TEXT)")
        jars.commit()
    fetch_nothing = ("TRIVY_OFFLINE_SCAN", "TRIVY_SKIP_DB_UPDATE", "TRIVY_SKIP_JAVA_DB_UPDATE")
    return {"TRIVY_CACHE_DIR": str(folder), **dict.fromkeys(fetch_nothing, "true")}


def every() -> list[dict[str, str]]:
    """The advisories, as advisories.yml has them."""
    return list(YAML(typ="safe").load(Path(__file__).with_suffix(".yml")))


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def database(tree: Tree) -> bytes:
    """A bbolt file: two meta pages, an empty list of free pages, the root bucket."""
    root = _leaf(3, tree)
    pages = -(-len(root) // PAGE)
    return b"".join(
        (
            *(_meta(number, 3 + pages) for number in (0, 1)),
            _header(2, FREELIST, 0).ljust(PAGE, b"\0"),
            _header(3, LEAF, len(tree), pages - 1),
            root[16:].ljust(pages * PAGE - 16, b"\0"),
        )
    )


def _header(number: int, flags: int, count: int, overflow: int = 0) -> bytes:
    return struct.pack("<QHHI", number, flags, count, overflow)


def _meta(number: int, size: int) -> bytes:
    said = struct.pack("<IIIIQQQQQ", MAGIC, VERSION, PAGE, 0, 3, 0, 2, size, number)
    checksum = 0xCBF29CE484222325  # FNV-1a
    for byte in said:
        checksum = (checksum ^ byte) * 0x100000001B3 % 2**64
    return (_header(number, META, 0) + said + struct.pack("<Q", checksum)).ljust(PAGE, b"\0")


def _leaf(number: int, tree: Tree) -> bytes:
    """A leaf page: an element for each key in order, then keys and values."""
    elements, content = b"", b""
    for position, (key, value) in enumerate(sorted((key.encode(), value) for key, value in tree.items())):
        nested = isinstance(value, dict)
        if nested:  # a bucket of its own, inline
            value = struct.pack("<QQ", 0, 0) + _leaf(0, value)
        offset = 16 * (len(tree) - position) + len(content)
        elements += struct.pack("<IIII", int(nested), offset, len(key), len(value))
        content += key + value
    return _header(number, LEAF, len(tree)) + elements + content

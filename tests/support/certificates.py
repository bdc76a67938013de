"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def authority(folder: Path) -> Path:
    """An authority in a new folder: `ca.key` and `ca.pem`."""
    folder.mkdir()
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")  # Python 3.13 refuses an authority without
    _openssl(
        folder, "req", "-x509", *_KEY, "-days", "2", *usage,
        "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem",
    )  # fmt: skip
    return folder


def certify(ca: Path, folder: Path, name: str, *, address: str = "127.0.0.1") -> None:
    """`NAME.key` and `NAME.pem` in a folder, for an IP address, signed by the authority."""
    _openssl(folder, "req", *_KEY, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
    (folder / "names").write_text(f"subjectAltName = IP:{address}\n")
    signer = ("-CA", str(ca / "ca.pem"), "-CAkey", str(ca / "ca.key"), "-CAcreateserial")
    _openssl(
        folder, "x509", "-req", "-days", "2", *signer, "-extfile", "names", "-in", f"{name}.csr", "-out", f"{name}.pem"
    )


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

"""The signature of a manifest, checked by ssh-keygen or openssl: there is no cryptography here.

A manifest contains the SHA-256 of its graphs and golden vectors, so that its signature covers them too. The public key
decides which program checks: lines of OpenSSH (`ssh-ed25519 AAAA... name`, one for each key that is trusted) are for
ssh-keygen, a PEM file (`-----BEGIN PUBLIC KEY-----`) is for openssl. docs/installing-models.md tells how to sign.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from edgequake.edge.base.errors import ConfigError, ManifestError

SUFFIX = ".sig"  # after the manifest's name
NAMESPACE = "edgequake"  # of ssh-keygen -Y sign -n: a signature for another purpose is not one of a model
_MOST_BYTES = 1 << 16  # of a key or a signature
_TIME_LIMIT_S = 30.0
_SSH_KEYS = ("ssh-", "ecdsa-", "sk-")


def require_signature(data: bytes, path: Path, key: Path) -> None:
    """Refuse a manifest that is not signed by the owner of a key.

    Parameters
    ----------
    data : the manifest's bytes, the very ones that will be used.
    path : its file; the signature is beside it.
    key : file of the public key.

    Raises
    ------
    ConfigError
        The key cannot be read, is of no known kind, or the program that checks it is not installed.
    ManifestError
        There is no signature, or it is not of these bytes by this key.
    """
    signature = path.with_name(path.name + SUFFIX)
    try:
        signed = _read(signature)
    except OSError as problem:
        raise ManifestError(
            f"{path} is not signed: {signature} cannot be read ({problem.strerror or problem}); sign it, as {key} is "
            f"configured"
        ) from problem
    try:
        public = _read(key)
    except OSError as problem:
        raise ConfigError(f"public key {key} cannot be read: {problem.strerror or problem}") from problem
    with tempfile.TemporaryDirectory(prefix="edgequake-signature-") as name:
        folder = Path(name)
        (folder / "data").write_bytes(data)
        (folder / "signature").write_bytes(signed)
        if not any(_returns_0(command, data) for command in _commands(public, key, folder)):
            raise ManifestError(
                f"{path} is refused: {signature.name} is not its signature by {key}; sign this very file again"
            )


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MOST_BYTES)


def _commands(public: bytes, key: Path, folder: Path) -> list[list[str]]:
    """Return the commands of which one must accept the signature; write what they read to the folder."""
    if b"-----BEGIN PUBLIC KEY-----" in public:
        (folder / "key").write_bytes(public)
        files = {name: str(folder / name) for name in ("key", "data", "signature")}
        # The first is for Ed25519, the second for RSA and elliptic curves.
        raw = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", files["key"], "-rawin", "-in", files["data"]]
        digest = ["openssl", "dgst", "-sha256", "-verify", files["key"], "-signature", files["signature"]]
        return [[*raw, "-sigfile", files["signature"]], [*digest, files["data"]]]
    lines = [line for line in public.decode(errors="replace").splitlines() if line.startswith(_SSH_KEYS)]
    if not lines:
        raise ConfigError(
            f"public key {key} is of no known kind: expected lines of OpenSSH as in id_ed25519.pub, or a PEM file that "
            f"begins with -----BEGIN PUBLIC KEY-----"
        )
    allowed = folder / "allowed"
    allowed.write_text("".join(f'{NAMESPACE} namespaces="{NAMESPACE}" {line}\n' for line in lines), encoding="utf-8")
    command = ["ssh-keygen", "-Y", "verify", "-f", str(allowed), "-I", NAMESPACE, "-n", NAMESPACE]
    return [[*command, "-s", str(folder / "signature")]]


def _returns_0(command: list[str], data: bytes) -> bool:
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=_TIME_LIMIT_S, check=False)
    except FileNotFoundError as problem:
        raise ConfigError(
            f"{command[0]} is not installed: a public key is configured, and without it no signature can be checked"
        ) from problem
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise ConfigError(f"{command[0]} cannot check a signature: {problem}") from problem
    return done.returncode == 0

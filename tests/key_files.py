"""Keys made for a run, as files and as texts."""

from __future__ import annotations

import json
from pathlib import Path

from joserfc.jwk import ECKey, RSAKey

EC = ECKey.generate_key("P-384", private=True)
EC_PEM = EC.as_pem(private=True).decode()
RSA = RSAKey.generate_key(2048, private=True)
RSA_PEM = RSA.as_pem(private=True).decode()
RSA_JWK = json.dumps({**RSA.as_dict(private=True), "kid": "own-kid"})


def private_file(path: Path, text: str) -> Path:
    """A file that its owner alone may read."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path

"""Tokens of SoftHSM in a directory of their own."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certmongerd.core.model import KeyStorage, StorageType
from certmongerd.core.secret import Secret

PIN: Final = "1234"


def module() -> str:
    """The SoftHSM library."""
    found = [path for path in Path("/usr/lib").glob("**/libsofthsm2.so") if path.is_file()]
    assert found, "SoftHSM is not installed: apt-get install softhsm2"
    return str(found[0])


@dataclass(frozen=True, slots=True)
class SoftHsm:
    """SoftHSM with its tokens below *root*."""

    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """What processes need to find the tokens."""
        return {"SOFTHSM2_CONF": str(self.root / "softhsm2.conf")}

    def add_token(self, label: str) -> None:
        """Make a token with the PIN `PIN`."""
        (self.root / "tokens").mkdir(parents=True, exist_ok=True)
        (self.root / "softhsm2.conf").write_text(f"directories.tokendir = {self.root}/tokens\n")
        program = shutil.which("softhsm2-util")
        assert program is not None, "SoftHSM is not installed: apt-get install softhsm2"
        subprocess.run(
            [program, "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "5678"],
            env=self.environment,
            check=True,
            capture_output=True,
        )

    def uri(self, name: str = "web", *, token: str = "one", by: str = "object") -> str:
        """The URI of a key."""
        return f"pkcs11:token={token};{by}={name}?module-path={module()}"

    def key(self, name: str = "web", *, token: str = "one", pin: str = PIN, by: str = "object") -> KeyStorage:
        """A key in a token."""
        location = self.uri(name, token=token, by=by)
        return KeyStorage(type=StorageType.PKCS11, location=location, pin=Secret(pin) if pin else None)

    def labels(self, token: str = "one") -> list[str]:
        """Labels of the private keys in a token, sorted."""
        return sorted(label for label, _ in self.private_keys(token))

    def private_keys(self, token: str = "one") -> list[tuple[str, bool]]:
        """Labels of private keys, and whether they can be taken out of the token."""
        script = (
            "import sys, pkcs11\n"
            "from pkcs11 import Attribute as A, ObjectClass\n"
            "found = pkcs11.lib(sys.argv[1]).get_token(token_label=sys.argv[2])\n"
            "with found.open(user_pin=sys.argv[3]) as session:\n"
            "    for key in session.get_objects({A.CLASS: ObjectClass.PRIVATE_KEY}):\n"
            "        print(int(key[A.EXTRACTABLE] or not key[A.SENSITIVE]), key.label)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, module(), token, PIN],
            env=self.environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return sorted((line[2:], line[0] == "1") for line in done.stdout.splitlines())

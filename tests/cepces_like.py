"""A helper that speaks the protocol as cepces-submit does (cepces 0.3, src/cepces/certmonger/operation.py).

What matters of it: IDENTIFY in one line; both lists of requirements name the profile; templates one a line; a default
template that is empty with status 0; FETCH-ROOTS prints pairs of common name and PEM from the CA upwards, an empty
line when there are none; a deferred request is status 5 with seconds and `id,reference`; a fault of the server is its
text with status 2; an exception is status 4 without a word; unknown operations are status 6.

    cepces_like.py FOLDER

takes certificate and chain from `leaf.pem` and `chain.pem` in FOLDER; the first submission is deferred.
"""

import os
import sys
from pathlib import Path


def main() -> int:
    folder = Path(sys.argv[1])
    match os.environ["CERTMONGER_OPERATION"]:
        case "IDENTIFY":
            print("cepces 0.3.9")
        case "GET-NEW-REQUEST-REQUIREMENTS" | "GET-RENEW-REQUEST-REQUIREMENTS":
            print("CERTMONGER_CA_PROFILE")
        case "GET-SUPPORTED-TEMPLATES":
            print("Machine\nWeb Server\nUser")
        case "GET-DEFAULT-TEMPLATE":
            pass
        case "FETCH-ROOTS":
            end = "-----END CERTIFICATE-----\n"
            blocks = [block + end for block in (folder / "chain.pem").read_text().split(end) if block]
            print("\n".join(f"CA {number}\n{block.strip()}" for number, block in enumerate(blocks)))
        case "SUBMIT":
            if os.environ.get("CERTMONGER_CA_PROFILE") == "denied":
                print("A SOAP fault: the template is not allowed")
                return 2
            if "CERTMONGER_CA_PROFILE" not in os.environ:
                return 4
            assert os.environ["CERTMONGER_CSR"].strip().startswith("-----BEGIN CERTIFICATE REQUEST-----")
            print("0\n17,https://ca.example.com/CES?a=1&b={2}")
            return 5
        case "POLL":
            number, reference = os.environ["CERTMONGER_CA_COOKIE"].split(",", maxsplit=1)
            assert (int(number), reference) == (17, "https://ca.example.com/CES?a=1&b={2}")
            print((folder / "leaf.pem").read_text().strip())
        case _:
            return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())

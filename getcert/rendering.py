"""Documents as JSON and YAML. Both are plain ASCII: other characters are escaped, whatever the locale is."""

from typing import Final

from getcert.documents import Document

FORMATS: Final = ("json", "yaml")


def render(document: Document, form: str) -> str:
    """*document* as *form*, one of FORMATS, with a newline at its end."""
    if form == "yaml":
        import yaml

        return yaml.safe_dump(document, sort_keys=False, width=1000)
    import json

    return json.dumps(document, indent=2) + "\n"

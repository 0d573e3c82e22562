"""What a machine's image is made of: the files of one folder of the repository."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    words: str
    endings: tuple[str, ...]  # of the files' names, in small letters
    setting: str  # of a check's settings: it says which folder


# By what makes the image, as image.with of dpra.yml says it.
SOURCES = {
    "image-builder": Source("component document (*.yml)", (".yml", ".yaml"), "components"),
    "packer": Source("Packer template (*.pkr.hcl)", (".pkr.hcl",), "packer"),
}


def there(source: Source, folder: Path) -> bool:
    """Whether a folder has at least one such file."""
    return any(path.name.lower().endswith(source.endings) for path in folder.glob("*"))

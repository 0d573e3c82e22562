"""Packs what the project's command put into $PACKAGE_DIR, with what describes its deployment, as one release."""

import shutil
import stat
import sys
import tempfile
import zipfile
from pathlib import Path

sys.pycache_prefix = "/dev/null"  # nobody's __pycache__ is read
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "_lib"))
import evidence
import release
import runner

LARGEST_TEMPLATE = 51_200  # bytes CloudFormation takes in a request
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment zip knows: the same files give the same bytes


def pack(source: Path, target: Path, *, may_be_empty: bool) -> None:
    paths = sorted((path for path in source.rglob("*") if path.is_symlink() or not path.is_dir()), key=str)
    if not paths and not may_be_empty:
        raise runner.Failed('the package is empty: the command must put files into "$PACKAGE_DIR"')
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            name = path.relative_to(source).as_posix()
            if path.is_symlink() or not path.is_file():
                raise runner.Failed(f"'{name}' is not a regular file: copy links with cp -rL", "error")
            if not name.isprintable():
                raise runner.Failed(f"'{name}': the name of a packaged file must be printable", "error")
            entry = zipfile.ZipInfo(name, EPOCH)
            executable = path.stat().st_mode & stat.S_IXUSR
            entry.external_attr = (stat.S_IFREG | (0o755 if executable else 0o644)) << 16
            entry.create_system = 3  # Unix, on every machine
            entry.compress_type = zipfile.ZIP_STORED if name == release.ARCHIVE else zipfile.ZIP_DEFLATED
            entry.file_size = path.stat().st_size
            with path.open("rb") as content, archive.open(entry, "w") as packed:  # an image is larger than memory
                shutil.copyfileobj(content, packed)


def main() -> None:
    with evidence.recorded("package-and-store-artifacts", tool="zip") as facts:
        component, name = runner.required("COMPONENT"), runner.given("TEMPLATE")
        documents, program = runner.given("DOCUMENTS"), runner.given("PROGRAM")
        built = runner.given("IMAGE")
        filled = name or documents or program or built
        command = runner.given("COMMAND") if filled else runner.required("COMMAND")
        template = Path(name)
        if name and not template.is_file():
            key = "image.template" if built else "deploy.template"
            raise runner.Failed(
                f"the template '{template}' does not exist: create it, or say {key} in dpra.yml", "error"
            )
        if name and template.stat().st_size > LARGEST_TEMPLATE:
            raise runner.Failed(
                f"the template '{template}' is larger than {LARGEST_TEMPLATE} bytes: split it into stacks", "error"
            )
        package = Path(tempfile.mkdtemp(dir=runner.temp()))
        directory = runner.given("WORKING_DIRECTORY") or "."
        code = runner.bash(command, directory, PACKAGE_DIR=str(package)) if command else 0
        if code:
            raise runner.Failed(f"the package command failed with {runner.ended(code)}")
        if program:
            release.unpack(Path(program), package)
        if documents:  # nothing that a program brings takes their place
            place = package / Path(documents).name
            shutil.rmtree(place, ignore_errors=True)
            place.unlink(missing_ok=True)
            shutil.copytree(documents, place)
        if built:
            shutil.copyfile(Path(built) / release.ARCHIVE, package / release.ARCHIVE)
            if (found := Path(built) / release.INSPECTOR).exists():
                shutil.copyfile(found, package / release.INSPECTOR)
        out = runner.temp() / "dpra-release"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        pack(package, out / "package.zip", may_be_empty=not (command or documents or program or built))
        if built:
            shutil.copyfile(Path(built) / release.IMAGE, out / release.IMAGE)
        if name:
            shutil.copyfile(template, out / "template.yml")
        digest = release.describe(out, component)
        facts["where"] = digest
        runner.output("digest", digest)
        runner.output("path", str(out))
        runner.say(f"release {digest}")
        runner.summary("release", ("component", "digest"), [(runner.code(component), runner.code(digest))])


main()

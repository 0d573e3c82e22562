"""Keeps the files of the chosen pipeline type and language, makes the new folder a git repository and lets dpra generate its pipeline."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

PIPELINE, LANGUAGE, KIND = "{{ cookiecutter.pipeline }}", "{{ cookiecutter.language }}", "{{ cookiecutter.kind }}"
TRUNK = "{{ cookiecutter.trunk }}"
WITH = ("with-{{ cookiecutter.with }}",) if KIND == "machine" else ()

for folder in {"application": (PIPELINE, LANGUAGE), "compute-image": (KIND, *WITH)}.get(PIPELINE, (PIPELINE,)):
    for path in Path(folder).iterdir():
        path.rename(path.name)
LEFT = ("account-fleet", "application", "container", "machine", "dynamic-configuration", "python", "node", "java")
for folder in (*LEFT, "with-image-builder", "with-packer"):
    shutil.rmtree(folder)
subprocess.run(["git", "init", "--quiet", "--initial-branch", TRUNK], check=True)
if importlib.util.find_spec("dpra") is None:
    print("The pipeline is not generated yet: install dpra, then run 'dpra generate' in {{ cookiecutter.name }}.")
else:
    sys.exit(subprocess.run([sys.executable, "-m", "dpra", "generate"], stdout=subprocess.DEVNULL).returncode)

"""Keeps the files of the chosen pipeline type and language, makes the new folder a git repository and lets dpra generate its pipeline."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

PIPELINE, LANGUAGE = "{{ cookiecutter.pipeline }}", "{{ cookiecutter.language }}"
TRUNK = "{{ cookiecutter.trunk }}"

for folder in (PIPELINE, LANGUAGE) if PIPELINE == "application" else (PIPELINE,):
    for path in Path(folder).iterdir():
        path.rename(path.name)
for folder in ("application", "compute-image", "dynamic-configuration", "python", "node", "java"):
    shutil.rmtree(folder)
subprocess.run(["git", "init", "--quiet", "--initial-branch", TRUNK], check=True)
if importlib.util.find_spec("dpra") is None:
    print("The pipeline is not generated yet: install dpra, then run 'dpra generate' in {{ cookiecutter.name }}.")
else:
    sys.exit(subprocess.run([sys.executable, "-m", "dpra", "generate"], stdout=subprocess.DEVNULL).returncode)

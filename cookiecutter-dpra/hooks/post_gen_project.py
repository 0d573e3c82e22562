"""Makes the new folder a git repository and lets dpra generate its pipeline."""

import importlib.util
import subprocess
import sys

TRUNK = "{{ cookiecutter.trunk }}"

subprocess.run(["git", "init", "--quiet", "--initial-branch", TRUNK], check=True)
if importlib.util.find_spec("dpra") is None:
    print("The pipeline is not generated yet: install dpra, then run 'dpra generate' in {{ cookiecutter.name }}.")
else:
    sys.exit(subprocess.run([sys.executable, "-m", "dpra", "generate"], stdout=subprocess.DEVNULL).returncode)

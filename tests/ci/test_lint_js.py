"""What checks the report's JavaScript: pinned, without an address of a registry, and clear where Node is missing."""

import json
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_without_node_it_says_what_to_install(tmp_path):
    done = subprocess.run(
        [shutil.which("bash"), ROOT / ".ci" / "lint-js"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "needs Node.js 20 or newer with npm: install them" in done.stderr


def test_every_tool_is_pinned_and_no_registry_is_named():
    wanted = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    text = (ROOT / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert all("integrity" in one and "resolved" not in one for path, one in packages.items() if path)
    assert set(re.findall(r"https?://([^/\"]+)", text)) <= {"opencollective.com", "registry.npmjs.org"}

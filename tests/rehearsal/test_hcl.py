"""Which blocks and attributes a template has, and the copy of it that Debian's Packer knows."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from dpra.rehearsal import hcl, packer_caller

TEMPLATE = """# source "amazon-ebs" "no" {
packer {
  required_plugins {
    amazon = {
      source  = "github.com/hashicorp/amazon" // no }
      version = "= 1.8.2"
    }
  }
}
/* source "amazon-ebs" "neither" { */
locals { motd = "a } \\" ${join("{", ["}"])} b", "quoted" = 1 }
source "amazon-ebs" "image" {
  ssh_interface = "session_manager" # }
  user_data     = <<-END
    metadata_options { "
    END
  metadata_options {
    http_tokens = "required"
  }
  imds_support  = "v2.0"
  custom_endpoint_ec2 = "https://elsewhere"
  tags          = {
    metadata_options = "stays"
  }
}
build { sources = ["source.amazon-ebs.image"] }
"""


def words(text: str) -> list[tuple[str, ...]]:
    return [part.words for part in hcl.parts(text)]


def test_blocks_and_attributes_are_told_apart_from_what_texts_and_comments_say() -> None:
    assert words(TEMPLATE) == [("packer",), ("locals",), ("source", "amazon-ebs", "image"), ("build",)]
    source = next(part for part in hcl.parts(TEMPLATE) if part.words[0] == "source")
    inner = [part.words for part in hcl.parts(TEMPLATE, source.inside, source.end - 1)]
    assert inner == [
        ("ssh_interface",),
        ("user_data",),
        ("metadata_options",),
        ("imds_support",),
        ("custom_endpoint_ec2",),
        ("tags",),
    ]


@pytest.mark.parametrize("text", ["", "}", "a {", 'a = "', "a = <<X\n", '"', "${", "a = b ? { : }", "/*", "{{{"])
def test_what_is_no_hcl_ends(text: str) -> None:
    for part in hcl.parts(text):
        assert part.end <= len(text)


def test_a_template_asks_the_rehearsals_aws_and_says_nothing_that_is_not_known() -> None:
    found = packer_caller.edited(TEMPLATE, "http://127.0.0.1:1")
    source = next(part for part in hcl.parts(found) if part.words[0] == "source")
    inner = {part.words[0]: found[part.start : part.end] for part in hcl.parts(found, source.inside, source.end - 1)}
    assert inner == {
        "ssh_interface": 'ssh_interface = "session_manager" # }',
        "user_data": 'user_data     = <<-END\n    metadata_options { "\n    END',
        "tags": 'tags          = {\n    metadata_options = "stays"\n  }',
        "custom_endpoint_ec2": 'custom_endpoint_ec2 = "http://127.0.0.1:1"',
        "skip_region_validation": "skip_region_validation = true",
        "skip_metadata_api_check": "skip_metadata_api_check = true",
    }
    assert ("packer",) not in words(found)
    before, after = TEMPLATE.splitlines(), found.splitlines()
    assert before.index(next(one for one in before if "tags" in one)) == after.index(
        next(one for one in after if "tags" in one)
    )


@pytest.mark.parametrize(
    "said", ["", 'ssh_interface = "public_ip"\n  associate_public_ip_address = true', 'ssh_host = "10.0.0.1"']
)
def test_without_a_session_a_template_is_led_to_a_closed_port(said: str) -> None:
    text = TEMPLATE.replace('ssh_interface = "session_manager" # }', said)
    found = packer_caller.edited(text, "http://127.0.0.1:1")
    assert 'ssh_host = "127.0.0.1"\nssh_port = 9\n' in found
    assert "10.0.0.1" not in found
    assert "public_ip" not in found


def test_what_init_would_fetch_is_told_and_nothing_is_fetched(tmp_path: Path) -> None:
    (tmp_path / "image.pkr.hcl").write_text(TEMPLATE)
    done = subprocess.run(
        [sys.executable, "-I", "-B", packer_caller.__file__, "init", "."],
        cwd=tmp_path, env={**os.environ, "DPRA_REHEARSAL_PACKER": ""}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == (
        'packer init would fetch amazon = { source = "github.com/hashicorp/amazon" // no } version = "= 1.8.2" }; '
        "the rehearsal's Packer 1.6.6 brings amazon-ebs\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["image.pkr.hcl"]

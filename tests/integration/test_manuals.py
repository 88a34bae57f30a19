"""The manual pages: one for each command in both languages, without a warning of man, naming every option."""

import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("MASUGATA_BUILD", ROOT / "build"))
WORDS = re.findall(r'^COMMAND\("([a-z]+)"', (ROOT / "catalogue/commands.def").read_text(), re.M)
PAGES = ["masugata.1", "masugata.conf.5"] + [f"masugata-{word}.1" for word in WORDS]


def rendered(path):
    done = subprocess.run(["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", str(path)], capture_output=True, text=True,
                          env=os.environ | {"LC_ALL": "C.UTF-8", "MANWIDTH": "100", "MANPAGER": "cat"}, check=True)
    assert done.stderr == "", done.stderr
    return re.sub(".\x08", "", done.stdout)


@pytest.mark.parametrize("language", ["en", "ja"])
@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_clean(page, language):
    text = rendered(BUILD / "man" / language / page)
    assert len(text) > 200
    assert ("名前" if language == "ja" else "NAME") in text


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_configuration_page_names_every_option(language):
    source = (BUILD / "man" / language / "masugata.conf.5").read_text().replace("\\-", "-")
    for keyword in re.findall(r'^OPTION\(\w+, "([^"]+)"', (ROOT / "catalogue/options.def").read_text(), re.M):
        assert f'.B "{keyword}"' in source

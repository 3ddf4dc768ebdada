"""Fixtures: a real browser that reaches nothing but this machine."""

import json
import os
import shutil
from urllib.parse import urlsplit

import pytest

from ner_utils import paths

HERE = (None, "127.0.0.1", "localhost")  # a file has no host


@pytest.fixture(scope="session")
def chromium():
    """Debian's Chromium, headless; skips the test where it is not installed."""
    if missing := [name for name in ("chromium", "chromedriver") if not shutil.which(name)]:
        packages = " ".join((paths.ROOT / "apt-test.txt").read_text().split())
        pytest.skip(f"pages in a browser: no {missing[0]}; on Debian: apt-get install {packages}")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    arguments = ["--headless=new", "--disable-gpu", "--disable-background-networking"]
    arguments += ["--no-sandbox"] * (os.geteuid() == 0)  # Chromium has no sandbox for root
    for argument in [*arguments, "--window-size=1280,1400"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.fixture
def browser(chromium):
    """The browser. After the test: no page asked anything of another machine, and none had an error."""
    yield chromium
    log = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    sent = [each["params"] for each in log if each["method"] == "Network.requestWillBeSent"]
    urls = [each["request"]["url"] for each in sent]
    local = ("data:", "blob:", "chrome:")  # no requests
    assert not [url for url in urls if not url.startswith(local) and urlsplit(url).hostname not in HERE]
    assert not [entry for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]

"""The explorer in a real JupyterLab: the notebook runs, the widget chooses sentences and asks a system."""

import os
import shutil
import socket
import subprocess
import sys
import time

import psutil
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from ner_utils import explorer, paths

pytestmark = pytest.mark.slow


@pytest.fixture
def lab(tmp_path):
    """A server of JupyterLab with a copy of the notebook; gives its address."""
    shutil.copy(paths.ROOT / "notebooks" / "06_explorer.ipynb", tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {
        "ServerApp.port": port, "ServerApp.root_dir": tmp_path, "IdentityProvider.token": "",
        "ServerApp.allow_root": True, "LabApp.expose_app_in_browser": True, "LabApp.news_url": "",
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", "--no-browser"]
    command += [f"--{name}={value}" for name, value in settings.items()]
    environment = os.environ | {"PYTHONPATH": str(paths.ROOT), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    environment["JUPYTERLAB_WORKSPACES_DIR"] = str(tmp_path / "workspaces")
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(tmp_path / "settings")
    all_cells = tmp_path / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    all_cells.parent.mkdir(parents=True)
    all_cells.write_text('{"windowingMode": "none"}')  # else cells that are not seen are not there
    with (tmp_path / "lab.log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=tmp_path)
    try:
        for _ in range(240):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, (tmp_path / "lab.log").read_text()[-2000:]
            time.sleep(0.25)
        yield f"http://127.0.0.1:{port}/lab/tree/06_explorer.ipynb"
    finally:
        server.terminate()
        server.wait(30)


def test_in_jupyterlab(browser, lab):
    wait = WebDriverWait(browser, 120)
    browser.get(lab)
    # Before the kernel is there, the command does nothing.
    ready = """const session = window.jupyterapp?.shell.currentWidget?.context?.sessionContext;
        return Boolean(session?.isReady && session.session?.kernel?.status === 'idle');"""
    wait.until(lambda driver: driver.execute_script(ready))
    browser.execute_script("window.jupyterapp.commands.execute('notebook:run-all-cells')")
    wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".ner-explorer .ner-number"))

    def number():
        return int(browser.find_element(By.CSS_SELECTOR, ".ner-number b").text.split()[0].replace(",", ""))

    right_and_wrong = explorer.browse("example", "minilm", "smollm2", error="boundary")
    gold = right_and_wrong[right_and_wrong["minilm"] == "correct"]
    assert number() == gold["id"].nunique()
    path = "//fieldset[legend='Type']//label[bdi[normalize-space()='food']]"
    browser.execute_script("arguments[0].click()", browser.find_element(By.XPATH, path))
    assert number() == gold[gold["type"] == "FOOD"]["id"].nunique() > 1

    browser.execute_script("arguments[0].open = true", browser.find_element(By.CSS_SELECTOR, ".ner-trial"))
    text = browser.find_element(By.CSS_SELECTOR, ".ner-trial textarea")
    text.send_keys("Ada Lovelace lived in London .")
    browser.find_element(By.XPATH, "//button[.='Ask the systems']").click()
    rows = wait.until(lambda driver: driver.find_elements(By.CSS_SELECTOR, ".ner-trial tr")[1:])
    assert any("under a grammar" in row.text for row in rows)
    # Nothing of the corpus is saved with the notebook but what its cells print.
    browser.execute_script("window.jupyterapp.commands.execute('docmanager:save')")
    # A question whose kernel dies ends with a message.
    processes = psutil.Process().children(recursive=True)
    (kernel,) = [each for each in processes if any("ipykernel" in word for word in each.cmdline())]
    browser.execute_script("document.querySelector('.ner-trial button').click()")
    kernel.kill()
    note = wait.until(lambda driver: driver.find_element(By.CSS_SELECTOR, ".ner-trial .ner-note"))
    assert "no connection to the kernel" in note.text
    assert browser.find_element(By.CSS_SELECTOR, ".ner-trial button").is_enabled()
    dialog = (By.CSS_SELECTOR, ".jp-Dialog .jp-mod-accept")  # JupyterLab's message about the kernel
    wait.until(lambda driver: driver.find_element(*dialog)).click()
    wait.until_not(lambda driver: driver.find_elements(*dialog))
    browser.get("about:blank")

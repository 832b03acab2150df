"""The page of the dashboard in a real browser, beside a real datacenter."""

from __future__ import annotations

import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from Services.datacenter.dashboard import command
from Services.datacenter.screen import Screen
from Services.datacenter.system import pid_is_alive
from Services.fractos import TaskGraph, connect
from Services.fractos.config import load
from Services.fractos.errors import FailedPreconditionError, PermissionDeniedError
from tests.cluster.conftest import Datacenter, until
from tests.cluster.test_terminals import need
from tests.nodes import configuration_text

pytest.importorskip("aiohttp", reason="the dashboard is an extra")

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

BROWSER, DRIVER = "chromium", "chromedriver"


class Page:
    """A browser with the dashboard open."""

    def __init__(self, address: str) -> None:
        options = webdriver.ChromeOptions()
        options.binary_location = str(shutil.which(BROWSER))
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(shutil.which(DRIVER))))
        self.resize(1280)
        self.browser.get(address)

    def resize(self, width: int, scheme: str = "light") -> None:
        """Have the window be so wide, and the system light or dark."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def find(self, selector: str) -> WebElement:
        """An element, once it is there."""
        found: list[WebElement] = until(
            lambda: self.browser.find_elements(By.CSS_SELECTOR, selector), f"{selector} on the page"
        )
        return found[0]

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def text(self, selector: str) -> str:
        """What an element says; asked in one go, since the page may change between two questions."""
        return str(self.script(f"return document.querySelector({selector!r})?.innerText ?? ''"))

    def script(self, code: str) -> Any:
        return self.browser.execute_script(code)

    def nodes(self) -> dict[str, str]:
        """What is said of each node."""
        code = "return [...document.querySelectorAll('#map .node')].map(n => [n.dataset.node, n.getAttribute('aria-label')])"
        return dict(self.script(code))

    def until_node(self, name: str, *words: str) -> None:
        """Wait until so much is said of a node."""
        until(lambda: set(words) <= set(self.nodes().get(name, "").split(", ")), f"{name} to be {', '.join(words)}")

    def complaints(self) -> list[str]:
        """What the browser's console has, but that the server was away while it was."""
        lines = [str(line["message"]) for line in self.browser.get_log("browser")]
        return [line for line in lines if "ERR_CONNECTION_REFUSED" not in line and "WebSocket connection" not in line]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Datacenter]:
    need(BROWSER, DRIVER)
    root = tmp_path_factory.mktemp("datacenter")
    keys = {"application": "restart = never", "storage": "restart = never", "math": "replicas = 2\nrestart = never"}
    (root / "data_center_setup.cfg").write_text(configuration_text(*keys, keys=keys))
    datacenter = Datacenter(root)
    datacenter.run("up")
    yield datacenter
    datacenter.run("down")
    assert not datacenter.processes()


@contextmanager
def served(datacenter: Datacenter) -> Iterator[tuple[int, str]]:
    """A dashboard: its process and its address. Ctrl-C ends it well."""
    with datacenter.start("dashboard") as process:
        try:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(3)]
            address = re.search(r"http://127\.0\.0\.1:\d+/\?key=\w+$", lines[1].strip())
            assert address, lines
            yield process.pid, address[0]
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0


@contextmanager
def opened(address: str) -> Iterator[Page]:
    """A browser that has the page open."""
    page = Page(address)
    try:
        yield page
    finally:
        page.browser.quit()


@pytest.fixture(scope="module")
def page(running: Datacenter) -> Iterator[Page]:
    with served(running) as (_, address), opened(address) as page:
        yield page


@pytest.fixture(autouse=True)
def quiet(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test nothing is in the console."""
    yield
    if "page" in request.fixturenames:
        assert request.getfixturevalue("page").complaints() == []


def math_nodes(datacenter: Datacenter) -> tuple[str, str]:
    """The one that leads, and the other one: which is which depends on who came first."""
    roles = {name: one["role"] for name, one in datacenter.status().items() if name.startswith("math")}
    leader, standby = sorted(roles, key=lambda name: roles[name])
    assert roles[leader] == "leader"
    return leader, standby


def run_once(datacenter: Datacenter, name: str) -> str:
    """A run of two steps at two nodes; its id."""
    graph = TaskGraph(name)
    number = graph.storage.read_integer(client_id="admin", name="number.txt")
    graph.math.shift_left(value=number.value, bits=4)
    with connect(datacenter.root) as connection:
        return connection.run(graph).run_id


def test_all_nodes_are_shown_as_what_they_are(page: Page, running: Datacenter) -> None:
    leader, standby = math_nodes(running)
    page.until_node(leader, "CPU", "ready", "leader")
    page.until_node("storage-0", "disk", "ready", "leader", "owner", "epoch 1")
    page.until_node(standby, "CPU", "ready")
    assert sorted(page.nodes()) == ["application-0", "math-0", "math-1", "storage-0"]
    assert "leader" not in page.nodes()[standby]
    assert "up: 4 of 4 nodes ready" in page.text("#status")
    assert page.browser.current_url.endswith("/"), "the secret has left the address bar"


def test_a_run_appears_with_its_waterfall_and_its_bill(page: Page, running: Datacenter) -> None:
    page.script("window.dots = 0; new MutationObserver(all => all.forEach(one => window.dots += one.addedNodes.length))"
                ".observe(document.querySelector('#map .travel'), {childList: true})")  # fmt: skip
    run = run_once(running, "<b>a run</b> & more")
    page.click(f"#runs [data-run='{run}']")
    until(lambda: "THE BILL" in page.text("#panel"), "the bill")
    said = page.text("#panel")
    assert "<b>a run</b> & more" in said, "what comes from outside is text"
    assert "succeeded" in said
    leader, _ = math_nodes(running)
    for link in ("application-0 → storage-0", f"storage-0 → {leader}", f"{leader} → application-0"):
        assert link in said
    assert len(page.browser.find_elements(By.CSS_SELECTOR, "#panel .waterfall rect.device")) == 2
    until(lambda: page.script("return window.dots") >= 3, "a dot for each of its messages")


def test_a_node_tells_its_steps_its_links_and_its_log(page: Page, running: Datacenter) -> None:
    page.click("#map [data-node=storage-0]")
    until(lambda: "storage-0 is ready at" in page.text("#panel .log"), "the log")
    until(lambda: "read_integer" in page.text("#panel .steps"), "its last steps")
    said = page.text("#panel")
    assert "owner of Services/storage" in said
    assert "processor" in said
    assert "Memory" in said
    assert f"{running.pids()['storage-0']} at 127.0.0.1:" in said


def test_the_keyboard_is_enough(page: Page) -> None:
    page.find("body").send_keys(Keys.ESCAPE)
    until(lambda: "Nothing selected" in page.text("#panel"), "nothing to be selected")
    page.script("document.querySelector('#map [data-node=application-0]').focus()")
    focused: Callable[[], Any] = lambda: page.script("return document.activeElement.dataset.node")  # noqa: E731
    page.browser.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    assert focused() in {"storage-0", "math-0", "math-1"}
    name = focused()
    page.browser.switch_to.active_element.send_keys(Keys.ENTER)
    until(lambda: page.text("#panel h2").startswith(name), "the node to be selected")
    focusable = page.script("return [...document.querySelectorAll('button, select, #map .node')].every(e => e.tabIndex >= 0)")
    assert focusable
    until(lambda: "CPU" in page.text("#panel h2") or "disk" in page.text("#panel h2"), "what it is")
    assert focused() == name, "what is drawn anew keeps the focus"


def test_ring_and_stars_are_compared_side_by_side_with_their_bills(page: Page) -> None:
    page.click("#tools [data-act=compare]")
    until(lambda: page.text("#compare").count("Waterfall and bill") == 3, "the comparison")
    hops = page.script("return [...document.querySelectorAll('#compare dl')].map(e => e.innerText.split(/\\s+/).slice(0, 5))")
    assert [words[:2] for words in hops] == [["hops", "4"], ["hops", "6"], ["hops", "6"]]
    values = [words[words.index("values") + 1] for words in hops]
    assert values == ["12", "12", "24"]


def test_an_example_runs_repeatedly_until_it_is_told_to_end(page: Page) -> None:
    ids = "return [...document.querySelectorAll('#runs [data-run]')].map(e => e.dataset.run)"
    before = set(page.script(ids))
    page.click("#tools [data-act=again]")
    until(lambda: len(set(page.script(ids)) - before) >= 2, "two more runs")
    page.click("#tools [data-act=again-off]")
    page.find("#tools [data-act=again]")


def test_a_link_is_cut_and_healed(page: Page, running: Datacenter) -> None:
    page.click("#map [data-node=storage-0]")
    page.click("#panel [data-link='math-1 – storage-0']")
    page.click("#panel [data-act=cut]")
    until(lambda: page.browser.find_elements(By.CSS_SELECTOR, "#map .link.cut"), "the cut to be drawn")
    assert "math-1 -> storage-0" in running.run("network", "show")
    until(lambda: "the link between math-1 and storage-0 is cut" in page.text("#notices"), "the cut to be told")
    page.click("#panel [data-act=heal]")
    until(lambda: not page.browser.find_elements(By.CSS_SELECTOR, "#map .link.cut"), "the link to be whole")
    page.click("#panel [data-act=reset]")
    until(lambda: "nothing is said about any link" in running.run("network", "show"), "the links to be as before")


def test_a_leader_is_killed_and_the_next_one_leads(page: Page, running: Datacenter) -> None:
    leader, standby = math_nodes(running)
    before = running.pids()[leader]
    page.click(f"#map [data-node={leader}]")
    page.click("#panel [data-act=kill]")
    page.until_node(standby, "leader")
    page.until_node(leader, "dead")
    assert not pid_is_alive(before)
    until(lambda: f"{standby} leads the math nodes" in page.text("#notices"), "the change to be told")
    run_once(running, "after the death")
    page.click("#panel [data-act=restart]")
    page.until_node(leader, "ready")
    assert running.pids()[leader] != before
    page.until_node(standby, "leader")


def test_a_node_is_stopped_and_goes_on(page: Page, running: Datacenter) -> None:
    process = psutil.Process(running.pids()["math-0"])
    page.click("#map [data-node=math-0]")
    page.click("#panel [data-act=stop]")
    page.until_node("math-0", "stopped")
    assert process.status() == psutil.STATUS_STOPPED
    page.click("#panel [data-act=continue]")
    page.until_node("math-0", "ready")


def test_what_cannot_be_done_is_said_on_the_page(page: Page) -> None:
    page.script(
        "import('/static/live.js').then(live => live.act({act: 'kill', node: 'none-0'}).catch(e => window.said = e.message))"
    )
    until(lambda: "`up` has started no node 'none-0'" in str(page.script("return window.said")), "the reason")
    page.browser.get_log("browser")  # the browser itself notes the status 409


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_telephone_and_can_be_read_in_light_and_dark(page: Page, scheme: str) -> None:
    page.resize(390, scheme)
    try:
        until(
            lambda: page.script("return document.querySelector('#map').viewBox.baseVal.width") < 390, "the map to be drawn anew"
        )
        assert page.script("return document.documentElement.scrollWidth") <= 390
        outside = (
            "return [...document.querySelectorAll('#map .node')].filter(n => n.getBoundingClientRect().right > 390).length"
        )
        assert page.script(outside) == 0
        assert contrast(page, "body", "--ink", "--paper") > 7
        for name in ("--soft", "--good", "--bad", "--warn", "--accent", "--storage", "--math", "--cnn", "--application"):
            assert contrast(page, "body", name, "--paper") >= 4.5, name
    finally:
        page.resize(1280)


def contrast(page: Page, selector: str, one: str, other: str) -> float:
    """By the formula of WCAG 2: 4.5 is enough for small text."""

    def luminance(name: str) -> float:
        code = f"return getComputedStyle(document.querySelector('{selector}')).getPropertyValue('{name}')"
        text = str(page.script(code)).strip().lstrip("#")
        parts = [int(text[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_datacenter_may_go_and_come_while_the_page_is_open(page: Page, running: Datacenter) -> None:
    running.run("down")
    until(lambda: "down; start it with: python3 run_datacenter.py" in page.text("#status"), "the end to be seen")
    page.until_node("math-0", "dead")
    running.run("up")
    until(lambda: "up: 4 of 4 nodes ready" in page.text("#status"), "the start to be seen")
    page.until_node("storage-0", "leader")
    run = run_once(running, "after the restart")
    page.find(f"#runs [data-run='{run}']")


def test_who_leaves_has_what_was_stopped_go_on_and_nothing_stays_open(running: Datacenter) -> None:
    nodes = {int(one["address"].rpartition(":")[2]) for one in running.status().values() if one.get("address")}
    stopped = psutil.Process(running.pids()["math-1"])
    with served(running) as (pid, address):
        links: Callable[[], list[Any]] = lambda: [  # noqa: E731
            one for one in psutil.Process(pid).net_connections("tcp") if one.raddr and one.raddr.port in nodes
        ]
        with opened(address) as other:
            other.click("#map [data-node=math-1]")
            other.click("#panel [data-act=stop]")
            until(lambda: stopped.status() == psutil.STATUS_STOPPED, "the node to be stopped")
            until(links, "connections to nodes")
            other.browser.get("about:blank")
            until(lambda: not links(), "them to be closed when nobody looks")
    assert stopped.status() != psutil.STATUS_STOPPED


def test_a_port_that_is_taken_is_said(page: Page, running: Datacenter) -> None:
    port = re.findall(r":(\d+)/", page.browser.current_url)[0]
    assert f"--port {port}: it is taken; give another one" in running.run("dashboard", "--port", port, expect=1)


def test_without_the_extra_it_says_what_to_type(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data_center_setup.cfg").write_text(configuration_text("math"))
    monkeypatch.setattr(command, "PACKAGE", "no_such_package")
    with pytest.raises(FailedPreconditionError, match=r"-m pip install -e '\.\[dashboard\]'"):
        command.run_dashboard(load(tmp_path), 0, Screen())


def test_the_datacenter_of_another_user_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data_center_setup.cfg").write_text(configuration_text("math"))
    (tmp_path / ".mockdc").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionDeniedError, match="only that user may look after it"):
        command.run_dashboard(load(tmp_path), 0, Screen())

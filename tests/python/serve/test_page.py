"""The page in a real browser: headless Chromium through its driver."""

import json
import shutil

import pytest

selenium = pytest.importorskip("selenium", reason="the extra `dev` is not installed")

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

WAIT_S = 30


@pytest.fixture(scope="module")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("SKIPPED LOUDLY: no browser; apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    # Containers run as root and give little shared memory; the pages are our own.
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    one = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    one.set_window_size(1280, 900)
    yield one
    one.quit()


@pytest.fixture
def page(browser):
    """The browser on an empty page; whatever it complains of fails the test."""
    browser.get("about:blank")
    browser.get_log("browser")
    yield browser
    assert browser.get_log("browser") == []


def wait(page, said):
    return WebDriverWait(page, WAIT_S).until(lambda _: said())


def one(page, css):
    return page.find_element(By.CSS_SELECTOR, css)


def texts(page, css):
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText)"
    return page.execute_script(script, css)  # at one go: results are replaced as they come


def search(page, server, query):
    page.get(f"{server.url}/")
    wait(page, one(page, "#query").is_displayed)
    one(page, "#query").send_keys(query, Keys.ENTER)
    wait(page, lambda: len(page.find_elements(By.CSS_SELECTOR, ".column")) == 2)
    wait(page, lambda: page.find_elements(By.CSS_SELECTOR, ".hit"))


def test_two_collections_side_by_side(page, searching):
    search(page, searching, "what makes tides?")
    assert texts(page, ".column > h2")[0].startswith("one")
    assert texts(page, ".column > h2")[1].startswith("two")
    assert " ms in the server" in texts(page, ".column > h2")[0]
    _, said = searching.post("/search", {"query": "what makes tides?"})
    hits = said["results"][0]["hits"]
    first = page.find_elements(By.CSS_SELECTOR, ".column")[0]
    titles = [found.text for found in first.find_elements(By.CSS_SELECTOR, "h3")]
    assert titles == [hit["title"] for hit in hits]
    scores = [found.text for found in first.find_elements(By.CSS_SELECTOR, ".score")]
    assert scores == [f"{hit['score']:.4f}" for hit in hits]


def test_words_of_the_question_are_marked_and_markup_stays_text(page, searching):
    search(page, searching, "the tides")
    assert {word.lower() for word in texts(page, "mark")} == {"tides"}
    assert "<i>tides</i>" in texts(page, "h3")
    assert any("<img src=x" in text for text in texts(page, ".hit p"))
    assert page.find_elements(By.CSS_SELECTOR, ".hit img, .hit i + b, .hit script") == []
    assert page.title == "Magnetite"


def test_conditions_filter_and_a_wrong_one_is_explained(page, searching):
    search(page, searching, "tides")
    where = one(page, "#where")
    where.send_keys('{"kind": "food"}', Keys.ENTER)
    wait(page, lambda: texts(page, "h3") == ["Bread", "Bread"])
    where.clear()
    where.send_keys('{"kind": ', Keys.ENTER)
    wait(page, lambda: "not JSON" in one(page, "#where-said").text)
    where.clear()
    where.send_keys('{"kind": {"$is": 1}}', Keys.ENTER)
    wait(page, lambda: "no operator '$is'" in one(page, "#failed").text)
    page.get_log("browser")  # Chromium notes each answer of 400


def test_keys_lead_through_the_results(page, searching):
    search(page, searching, "tides")
    one(page, "#query").send_keys(Keys.ARROW_DOWN)
    page.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    second = page.switch_to.active_element
    assert second == page.find_elements(By.CSS_SELECTOR, ".hit")[1]
    second.send_keys(Keys.ENTER)
    assert second.get_attribute("aria-expanded") == "true"
    second.send_keys("/")
    assert page.switch_to.active_element == one(page, "#query")
    assert one(page, "#query").get_attribute("value") == "tides"


def test_the_address_holds_the_search(page, searching):
    search(page, searching, "bread")
    address = page.current_url
    page.get("about:blank")
    page.get(address)
    wait(page, lambda: texts(page, ".column")[:1] and texts(page, "h3")[:1] == ["Bread"])
    assert one(page, "#query").get_attribute("value") == "bread"


def test_without_a_collection_two_texts_are_compared(page, server, offline):
    page.get(f"{server.url}/")
    wait(page, one(page, "#left").is_displayed)
    one(page, "#likeness-form .main").click()
    found = wait(page, lambda: texts(page, ".number"))
    a, b = offline.encode(["Magnets attract iron.", "A compass needle points north."])
    assert float(found[0]) == pytest.approx(float(a @ b), abs=1e-4)
    assert not one(page, "#search").is_displayed()


def test_the_page_asks_for_the_key(page, serve):
    server = serve(MAGNETITE_API_KEY="sesame")
    page.get(f"{server.url}/")
    wait(page, one(page, "#key").is_displayed)
    one(page, "#key").send_keys("sesame", Keys.ENTER)
    wait(page, one(page, "#left").is_displayed)
    assert not one(page, "#key").is_displayed()
    page.get_log("browser")  # Chromium notes the answer of 401


def test_it_fits_a_phone(page, searching):
    size = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        page.get(f"{searching.url}/#query=tides&k=5")
        wait(page, lambda: page.find_elements(By.CSS_SELECTOR, ".hit"))
        assert page.execute_script("return document.documentElement.scrollWidth") <= 360
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_nothing_is_loaded_from_elsewhere(page, searching):
    status, headers, _ = searching.call("GET", "/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    search(page, searching, "tides")
    loaded = page.execute_script(
        "return JSON.stringify(performance.getEntriesByType('resource').map((one) => one.name))"
    )
    assert json.loads(loaded)
    assert all(name.startswith((searching.url, "data:")) for name in json.loads(loaded)), loaded

"""The page in a real browser: Debian's Chromium, headless, driven by its own driver."""

import base64
import json
import os
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from parts import until

OUT = os.environ.get("CONSOLE_OUT", "target/console")
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
ARGUMENTS = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--disable-background-networking", "--disable-component-update", "--no-first-run"]


class Page:
    """One tab."""

    def __init__(self, admin, size="desktop", dark=False):
        self.origin = admin
        options = Options()
        options.binary_location = "/usr/bin/chromium"
        for argument in ARGUMENTS + (["--no-sandbox"] if os.geteuid() == 0 else []):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver = webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)
        self.look_like(size, dark)
        self.seen_requests = []
        self.driver.get(f"{admin}/console")

    def look_like(self, size, dark):
        width, height = SIZES[size]
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == "phone"})
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def close(self):
        self.driver.quit()

    def script(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def go(self, place):
        """Shows the view of that address, as a link would."""
        self.script("location.hash = arguments[0]", place)

    def all(self, css):
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def find(self, css, saying=None):
        """The first element that is shown, and says so; waits for it."""
        def holds():
            try:
                fits = (one for one in self.all(css) if one.is_displayed()
                        and (saying is None or saying in one.text))
                return next(fits, None)
            except StaleElementReferenceException:
                return None
        return until(f"there is {css} {saying or ''}".strip(), holds)

    def gone(self, css):
        def holds():
            try:
                return not any(one.is_displayed() for one in self.all(css))
            except StaleElementReferenceException:
                return False
        until(f"there is no {css}", holds)

    def text(self, css):
        try:
            return self.find(css).text
        except StaleElementReferenceException:
            return self.find(css).text

    def tile(self, name):
        """The figure of a tile."""
        return self.script(
            "const tile = [...document.querySelectorAll('.tile')]"
            ".find((one) => one.querySelector('.name').textContent === arguments[0]);"
            "return tile?.querySelector('b').textContent", name)

    def log_in(self, token):
        self.find("#token input").send_keys(token)
        self.find("#token button").click()

    def shot(self, name, whole=True):
        """Writes a picture of all of the page, or of what is seen of it."""
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        picture = self.driver.execute_cdp_cmd("Page.captureScreenshot", {
            "captureBeyondViewport": whole,
            "clip": {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1},
        } if whole else {})
        os.makedirs(OUT, exist_ok=True)
        with open(f"{OUT}/{name}.png", "wb") as file:
            file.write(base64.b64decode(picture["data"]))

    def complaints(self, expected=()):
        """What the browser's console holds, but for answers that were asked for on purpose."""
        lines = [line["message"] for line in self.driver.get_log("browser")
                 if line["level"] in ("SEVERE", "WARNING")]
        return [line for line in lines if not any(part in line for part in expected)]

    def strangers(self):
        """Requests that left the page's own origin."""
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.seen_requests.append(message["params"]["request"]["url"])
        own = urlsplit(self.origin).netloc
        return [url for url in self.seen_requests
                if urlsplit(url).scheme not in ("data", "about", "chrome") and urlsplit(url).netloc != own]

    def barriers(self, axe):
        """What an accessibility check finds: labels, names, contrast, order of headings."""
        with open(axe, encoding="utf-8") as source:
            self.script(source.read())
        found = self.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa',"
            " 'best-practice']}).then((result) => done(result.violations))")
        return [f"{one['id']}: {node['target']} {node.get('failureSummary', '')}"
                for one in found for node in one["nodes"]]

"""Opens a page in a browser, as a person would, and tells as JSON what was seen.

    open_page.py CHROMIUM PAGE SCREENSHOTS
"""

import json
import sys
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

# Milliseconds; much longer than it takes.
PATIENCE = 120_000

CHARTS = """charts => charts.map(chart => {
  const plot = chart.querySelector(".plot");
  return {
    id: chart.id,
    drawn: plot.querySelectorAll("svg.main-svg").length > 0,
    width: plot.clientWidth,
    alt: plot.getAttribute("aria-label"),
    traces: (plot.data || []).map(trace => ({ name: trace.name, y: trace.type === "heatmap" ? [] : Array.from(trace.y || []) })),
    levels: Math.max(0, ...(plot.data || []).filter(trace => trace.type === "heatmap").flatMap(trace => trace.z.flat())),
  };
})"""

RANGE = "plot => plot.layout.xaxis.range"


def look_closer(page: Page) -> dict[str, Any]:
    """Points at the heat map, zooms into it, and has it show one kind."""
    plot = page.locator(".chart[id$=heatmap] .plot").first
    plot.scroll_into_view_if_needed()
    area = plot.locator(".nsewdrag").first.bounding_box()
    assert area is not None
    left, top, width, height = area["x"], area["y"], area["width"], area["height"]
    page.mouse.move(left + width * 0.45, top + height * 0.45)
    page.mouse.move(left + width * 0.5, top + height * 0.5, steps=3)
    page.locator(".tip").wait_for(state="visible", timeout=PATIENCE)
    seen: dict[str, Any] = {"tip": page.locator(".tip").inner_text()}
    seen["whole"] = plot.evaluate(RANGE)
    page.mouse.move(left + width * 0.3, top + height * 0.3)
    page.mouse.down()
    page.mouse.move(left + width * 0.7, top + height * 0.7, steps=5)
    page.mouse.up()
    page.wait_for_timeout(500)
    seen["zoomed"] = plot.evaluate(RANGE)
    page.locator(".kinds button", has_text="write").first.click()
    pressed = page.locator(".kinds button[aria-pressed=true]").first
    seen["pressed"] = pressed.inner_text()
    return seen


def main(chromium: str, path: str, screenshots: str) -> None:
    troubles: list[str] = []
    requests: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"], timeout=PATIENCE
        )
        seen: dict[str, Any] = {}
        for name, width in (("phone", 400), ("desktop", 1280)):
            page = browser.new_page(viewport={"width": width, "height": 900})
            page.on("console", lambda message: troubles.append(message.text))
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.on("request", lambda request: requests.append(request.url))
            page.goto(Path(path).as_uri(), timeout=PATIENCE)
            page.wait_for_selector("html[data-charts=drawn]", state="attached", timeout=PATIENCE)
            page.screenshot(path=f"{screenshots}/{name}.png", full_page=True)
            overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            charts = page.locator(".chart").evaluate_all(CHARTS)
            seen[name] = {"charts": charts, "overflow": overflow, "title": page.title()}
        seen["closer"] = look_closer(page) if seen["desktop"]["charts"] else {}
        browser.close()
    elsewhere = [url for url in requests if not url.startswith(("file:", "data:", "blob:"))]
    print(json.dumps({**seen, "troubles": troubles, "elsewhere": elsewhere}))


if __name__ == "__main__":
    main(*sys.argv[1:])

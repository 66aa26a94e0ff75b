"""The page before 10,000 orders and 500 requests a second, and what it costs the data plane."""

import statistics
import time

from parts import Load, until

ORDERS, RATE = 10_000, 500
# How long each measurement lasts, in seconds.
LONG = 12
# A person feels a page hang from here on (ms); generous, for the machine is busy with the load.
PATIENT_MS = 1000

WATCH = """
window.longTasks = [];
new PerformanceObserver((list) => longTasks.push(...list.getEntries().map((one) => one.duration)))
  .observe({type: 'longtask'});
"""

# From the click to the frame that shows the view.
CLICK = """
const [css, title] = arguments, done = arguments[arguments.length - 1];
const began = performance.now();
document.querySelector(css).click();
const look = () => document.querySelector('h1')?.textContent === title
  ? requestAnimationFrame(() => done(performance.now() - began))
  : requestAnimationFrame(look);
look();
"""


def heavy(onceward, page):
    with Load(onceward, rate=4000, new=1.0, prefix="many", connections=32) as many:
        until(f"{ORDERS} orders are made", lambda: many.orders >= ORDERS, patience=180)

    unwatched = measure(onceward, page, "about:blank")
    watched = measure(onceward, page, f"{onceward.admin}/console")
    with Load(onceward, RATE, prefix="many"):
        page.find(".status", "live")
        page.script(WATCH)
        clicks = []
        for _ in range(5):
            for place, title in [("#/order", "Orders"), ("#/person", "Needs a person"), ("#/", "Overview")]:
                link = f'header nav a[href="{place}"]'
                clicks.append(page.driver.execute_async_script(CLICK, link, title))
                time.sleep(0.3)
        tasks = page.script("return longTasks")

    print(f"        {RATE} requests a second over {ORDERS} orders:")
    print(f"        a click shows its view within {statistics.median(clicks):.0f} ms, at most {max(clicks):.0f} ms;"
          f" {len(tasks)} tasks over 50 ms, the longest {max(tasks, default=0):.0f} ms")
    for name, one in [("nobody looks", unwatched), ("somebody looks", watched)]:
        print(f"        {name}: {one['rate']:.0f} requests/s, {one['cpu']:.0f} µs CPU and"
              f" {one['commands']:.3f} Redis commands a request, {one['looks']} of them for the page")
    print(f"        one look at the metrics: {look(onceward):.0f} µs CPU, every 5 s while nobody looks")

    assert max(clicks) < PATIENT_MS, clicks
    assert max(tasks, default=0) < PATIENT_MS, tasks
    assert unwatched["looks"] == 0, "nobody looks and Redis is asked for it"
    assert watched["looks"] <= 2, "the overview asks Redis for nothing but what the doctor asks"


def measure(onceward, page, place):
    page.driver.get(place)
    if "console" in place:
        page.find(".status", "live")
    with Load(onceward, RATE, prefix="many") as load:
        until("it runs", lambda: load.answered > RATE)
        answered, cpu, commands, began = load.answered, onceward.cpu(), onceward.commands(), time.monotonic()
        time.sleep(LONG)
        requests, took = load.answered - answered, time.monotonic() - began
        spent, sent = onceward.cpu() - cpu, onceward.commands()
    new = {name: sent[name] - commands.get(name, 0) for name in sent}
    return {
        "rate": requests / took,
        "cpu": spent / requests * 1e6,
        "commands": sum(new.values()) / requests,
        "looks": new.get("list", 0) + new.get("scan", 0),
    }


def look(onceward):
    """Microseconds of CPU one scrape takes: what a sample costs, and writing it to a socket."""
    before = onceward.cpu()
    for _ in range(500):
        onceward.ask("/metrics")
    return (onceward.cpu() - before) / 500 * 1e6

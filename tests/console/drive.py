"""Holds the console to its promises in a real browser: `make console-test`."""

import sys
import time

from heavy import heavy
from page import Page
from parts import Load, Onceward, until

ACT, LOOK = "console-test-acts", "console-test-looks"
AXE = sys.argv[1]
# Told on purpose: a wrong token, an order nobody has seen, a reader who acts.
EXPECTED = ["401 (Unauthorized)", "404 (Not Found)", "403 (Forbidden)"]

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


@check
def the_page_asks_for_a_token_and_keeps_it_in_the_tab(onceward, page):
    page.log_in("wrong")
    page.find("#token", "That token opens nothing")
    page.log_in(ACT)
    page.find(".status", "live")
    assert ACT not in page.driver.current_url
    assert page.script("return sessionStorage.length") >= 1
    assert page.script("return localStorage.length + document.cookie.length") == 0
    page.driver.refresh()
    page.find(".status", "live")


@check
def the_overview_moves_under_load(onceward, page):
    page.go("#/")
    before = page.script("return document.querySelector('.layer.s1').getAttribute('d')")
    with Load(onceward, rate=60):
        until("requests are shown", lambda: float((page.tile("Requests/s") or "0").replace(",", "")) > 10)
        moved = "return document.querySelector('.layer.s1').getAttribute('d')"
        until("the plot moves", lambda: page.script(moved) != before)
        until("leases are shown", lambda: len(page.all(".bars li")) > 5)
        page.find(".posture .verdict", "WARN")
    pressed = page.all(".plot svg")[0]
    pressed.send_keys("\ue012")  # the left arrow: a look back by keyboard
    assert page.all(".plot .cursor")[0].get_attribute("visibility") == "visible"


@check
def an_order_is_found_and_its_timeline_is_right(onceward, page):
    assert onceward.pay("shown-1", "paying-ok-1500") == 200
    until("it is paid", lambda: onceward.state("pay", "shown-1") == "succeeded")
    onceward.pay("shown-1", "paying-ok-1500")
    page.go("#/order")
    page.find(".find input[name=key]").send_keys("shown-1\n")
    page.find(".row .pill", "succeeded")
    states = [one.text for one in page.all(".timeline .pill")]
    assert states == ["in flight", "unknown", "succeeded"], states
    lines = [one.text for one in page.all(".timeline li")]
    history = onceward.ask("/admin/orders/pay/shown-1")[1]["history"]
    # It was settled by whichever came first.
    settled = "settled by a callback" if "callback" in history[-1]["why"] else "the payment service was asked"
    for line, told, says in zip(lines, history, ["sent to the payment service", "no clear answer", settled], strict=True):
        assert says in line and told["why"] in line and told["by"] in line, (line, told)
    assert "fence 1" in lines[0] and "+" in lines[1], lines
    spans = [one.text for one in page.all(".ribbon li")]
    assert len(spans) == 3 and spans[1].endswith(" s") and spans[2] == "for good", spans
    assert "1 here" in page.text(".figures")


@check
def an_order_number_is_never_markup(onceward, page):
    key = "<img/src=x/onerror=document.title='owned'>"
    onceward.pay(key)
    page.go("#/order")
    page.find(".find input[name=key]").clear()
    page.find(".find input[name=key]").send_keys(key + "\n")
    page.find("h2.number", key)
    assert not page.all("main img") and page.driver.title != "owned"


@check
def a_fault_is_put_fires_and_is_taken_off(onceward, page):
    page.go("#/faults")
    page.find(".inline input").send_keys("struck-1")
    page.find(".accident", "Charged, but the answer is lost").click()
    page.find(".rules li", "answer-lost")
    for view in ["#/", "#/order", "#/person", "#/faults"]:
        page.go(view)
        page.find("#faults-on", "answer-lost")
    page.shot("faults-in-force")
    onceward.pay("struck-1", "notify-none", timeout=2)
    page.find(".rules .fired", "1")
    page.find(".rules button", "Take off").click()
    page.gone(".rules li")
    page.gone("#faults-on")

    page.find("summary", "A rule of your own").click()
    page.find(".fault select[name=at]").send_keys("query")
    page.find(".fault select[name=kind]").send_keys("status")
    page.find(".preview", "answers with this status (503)")
    page.find(".fault button").click()
    page.find(".rules li", "mine")
    page.find(".rules + .buttons button", "Take all off").click()
    page.gone(".rules li")
    assert onceward.ask("/admin/faults")[1]["faults"] == []


@check
def the_sidecar_takes_every_fault_that_is_offered_and_no_other(onceward, page):
    offered = page.driver.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "import('/console/accidents.js').then(({PLACES, KINDS, ACCIDENTS}) =>"
        " done({places: Object.keys(PLACES), kinds: KINDS, accidents: ACCIDENTS}))")

    def put(rule):
        # About an order that never comes, so that nothing happens.
        status, answer = onceward.ask("/admin/faults/tried", "PUT", rule | {"key": "nobodys"})
        return status in (200, 201), answer.get("detail", "")

    def known(detail):
        return set(detail.split("one of ")[1].rstrip(".").split(", "))

    assert known(put({})[1]) == set(offered["places"])
    assert known(put({"at": "response", "do": {}})[1]) == set(offered["kinds"])
    for kind, about in offered["kinds"].items():
        given = about.get("example", True)
        for place in offered["places"]:
            taken, detail = put({"at": place, "do": {kind: given}})
            assert taken == (place in about["at"]), f"{kind} at {place}: {detail}"
    for accident in offered["accidents"]:
        assert put(accident["rule"])[0], accident["name"]
    onceward.ask("/admin/faults", "DELETE")


@check
def an_unknown_order_is_resolved_by_hand(onceward, page):
    hold_unknown(onceward, "by-hand")
    page.go("#/person/unknown")
    page.find("td a", "refund by-hand").click()
    page.find(".card .buttons button", "It succeeded").click()
    page.find("#confirm-says", "for good")
    page.shot("confirm", whole=False)
    sure, yes = page.find("#confirm input[name=sure]"), page.find("#confirm button[name=yes]")
    yes.click()
    assert onceward.state("refund", "by-hand") == "unknown", "not before somebody is sure"
    sure.click()
    page.find("#confirm input[name=why]").send_keys("seen at the bank")
    page.find("#confirm input[name=actor]").send_keys("Ann Example")
    yes.click()
    page.find(".row .pill", "succeeded")
    line = onceward.ask("/admin/orders/refund/by-hand")[1]["history"][-1]
    assert (line["by"], line["why"]) == ("admin/Ann-Example", "seen at the bank"), line
    assert any("admin/Ann-Example" in line for line in onceward.log)
    page.find(".timeline", "Ann-Example said so")


@check
def a_reader_sees_and_cannot_act(onceward, page):
    hold_unknown(onceward, "looked-at")
    reader = Page(onceward.admin)
    try:
        reader.log_in(LOOK)
        reader.find("#who", "reader")
        reader.go("#/order/refund/looked-at")
        reader.find(".row .pill", "unknown")
        reader.find(".hint", "This token may look")
        assert not reader.all(".card .buttons button")
        reader.go("#/faults")
        reader.find(".hint", "This token may look")
        assert not reader.all(".accident")
        # And not by going round the page either.
        status = reader.driver.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "fetch('/admin/orders/refund/looked-at/resolve', {method: 'POST',"
            " headers: {Authorization: 'Bearer ' + arguments[0]}, body: '{\"state\":\"failed\"}'})"
            ".then((answer) => done(answer.status))", LOOK)
        assert status == 403, status
        assert onceward.state("refund", "looked-at") == "unknown"
        assert reader.complaints(EXPECTED) == [] and reader.strangers() == []
    finally:
        reader.close()


@check
def every_view_can_be_used_by_everybody_and_looks_so(onceward, page):
    until("it is unknown", lambda: onceward.state("refund", "looked-at") == "unknown")
    barriers = []
    for size, dark in [("desktop", False), ("desktop", True), ("phone", False), ("phone", True)]:
        page.look_like(size, dark)
        kind = f"{size}-{'dark' if dark else 'light'}"
        for name, place, sign in [
            ("overview", "#/", ".posture .verdict"),
            ("order", "#/order/pay/shown-1", ".timeline li"),
            ("order-unknown", "#/order/refund/looked-at", ".card .buttons button"),
            ("person", "#/person/unknown", "td a"),
            ("faults", "#/faults", ".accident"),
        ]:
            page.go(place)
            page.find(sign)
            wide = page.script("return document.documentElement.scrollWidth > innerWidth")
            assert not wide, f"{name} is wider than a {size}"
            page.shot(f"{name}-{kind}")
            barriers += [f"{name} {kind}: {one}" for one in page.barriers(AXE)]
    page.look_like("desktop", False)
    assert not barriers, "\n".join(barriers)


@check
def ten_thousand_orders_at_500_a_second_do_not_hold_it_up(onceward, page):
    heavy(onceward, page)


@check
def nothing_was_complained_of_and_nothing_left_the_origin(onceward, page):
    assert page.complaints(EXPECTED) == []
    assert page.strangers() == []
    assert len(page.seen_requests) > 20, "requests were watched"


def hold_unknown(onceward, key):
    """An order of a route without a query, whose answer was lost."""
    rule = {"at": "upstream_response", "do": {"reset": True}, "key": key, "times": 1}
    assert onceward.ask("/admin/faults/held", "PUT", rule)[0] in (200, 201)
    onceward.pay(key, path="/order/refund", name="refundId")
    until(f"{key} is unknown", lambda: onceward.state("refund", key) == "unknown")
    onceward.ask("/admin/faults/held", "DELETE")


def main():
    onceward = Onceward(ADMIN_TOKEN=ACT, ADMIN_READ_TOKEN=LOOK)
    failed = 0
    try:
        page = Page(onceward.admin)
        try:
            for one in CHECKS:
                began, name = time.monotonic(), one.__name__.replace("_", " ")
                try:
                    one(onceward, page)
                    print(f"ok      {name} ({time.monotonic() - began:.1f} s)", flush=True)
                except Exception as error:  # every check is told of, whatever became of one
                    failed += 1
                    page.shot(f"failed-{one.__name__}")
                    print(f"FAILED  {name}\n        {type(error).__name__}: {error}", flush=True)
        finally:
            page.close()
    finally:
        onceward.stop()
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} as promised; pictures in target/console/")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

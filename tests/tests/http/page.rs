//! The page of a problem in a real browser: what a person sees who has sent a form.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{Form, State};
use axum::response::Html;
use axum::routing::{get, post};
use cratestack_runtime::{Idempotency, MemoryStore, idempotent};
use cratestack_tests::{Browser, Page};
use serde::Deserialize;

use crate::app::App;
use crate::server::serve_at;

#[derive(Deserialize)]
struct Order {
    id: String,
    amount: String,
}

#[idempotent(key = order.id, principal = "shop", fingerprint = &order.amount)]
async fn order(State(app): State<App>, Form(order): Form<Order>) -> String {
    app.waiting.notify_one();
    app.gate.notified().await;
    let count = app.effects.fetch_add(1, Ordering::SeqCst) + 1;
    format!("order {} of {} is placed, number {count}", order.id, order.amount)
}

async fn form() -> Html<&'static str> {
    Html(
        "<!doctype html><form method=post action=/orders><input name=id value=o1><input name=amount value=5>\
         <button>Order</button></form>",
    )
}

/// Nothing was kept from the page, and it is readable at this width: nothing runs out of it, and no letter is tiny.
async fn assert_readable(page: &Page, width: u32) {
    page.resize(width, 800).await;
    let seen = page
        .evaluate(
            "(() => {
                const text = [...document.querySelectorAll('h1, p, dt, dd, a, code')];
                return {
                    scrolls: document.documentElement.scrollWidth > innerWidth,
                    smallest: Math.min(...text.map(element => parseFloat(getComputedStyle(element).fontSize))),
                    column: document.querySelector('main').getBoundingClientRect().width,
                    styled: getComputedStyle(document.querySelector('dl')).display,
                    scripts: document.scripts.length,
                    loaded: performance.getEntriesByType('resource').map(entry => entry.name),
                };
            })()",
        )
        .await;
    assert_eq!(seen["scrolls"], false, "{width}: {seen}");
    assert!(seen["smallest"].as_f64().unwrap() >= 13.0, "{width}: {seen}");
    assert!(seen["column"].as_f64().unwrap() <= 700.0, "{width}: {seen}");
    assert_eq!(
        (&seen["styled"], &seen["scripts"]),
        (&"grid".into(), &0.into()),
        "the policy lets its style pass: {seen}"
    );
    assert_eq!(seen["loaded"].as_array().unwrap().len(), 0, "{seen}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_form_twice_reads_what_to_do_and_gets_the_outcome_by_a_reload() {
    let app = App::over(Idempotency::new(MemoryStore::new()).documentation_url("/keys"));
    let router = Router::new().route("/orders", post(order)).route("/", get(form)).with_state(app.clone());
    let origin = format!("http://{}/", serve_at(router).await);
    let browser = Browser::launch().await;
    let (first, second) = (browser.page().await, browser.page().await);
    first.open(&origin).await;
    second.open(&origin).await;
    first.click("button").await;
    app.waiting.notified().await;

    second.click("button").await;
    second.wait_until("document.readyState === 'complete' && document.querySelector('h1') !== null").await;
    let text = second.evaluate("document.body.innerText").await;
    let text = text.as_str().unwrap();
    for said in [
        "A request is outstanding for this Idempotency-Key",
        "still being processed",
        "You can send it again, unchanged, in a second. If you sent a form, reload this page to do so.",
        "409 Conflict",
        "idempotency_request_in_flight",
        "What this service says of it",
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    assert_eq!(second.evaluate("document.title").await, "A request is outstanding for this Idempotency-Key");
    assert_eq!(second.evaluate("document.querySelector('a').pathname").await, "/keys");
    for width in [320, 390, 1280] {
        assert_readable(&second, width).await;
    }
    let shots = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/problem-page"));
    std::fs::create_dir_all(shots).unwrap();
    for (width, scheme) in [(390, "light"), (390, "dark"), (1280, "light")] {
        second.prefer(&[("prefers-color-scheme", scheme)]).await;
        second.resize(width, 700).await;
        second.screenshot(&shots.join(format!("{width}-{scheme}.png"))).await;
    }
    let entries = second.events("Log.entryAdded");
    let blocked: Vec<_> =
        entries.iter().filter(|entry| entry.to_string().contains("Content Security Policy")).collect();
    assert!(blocked.is_empty(), "{blocked:?}");

    app.gate.notify_one();
    first.wait_until("document.body !== null && document.body.innerText.includes('number 1')").await;
    second.call("Page.reload", serde_json::json!({})).await;
    second
        .wait_until("document.body !== null && document.body.innerText.includes('o1 of 5 is placed, number 1')")
        .await;
    assert_eq!(app.effects(), 1);

    // The same key for another order.
    second.open(&origin).await;
    second.wait_until("document.querySelector('[name=amount]') !== null").await;
    second.evaluate("document.querySelector('[name=amount]').value = 6").await;
    second.click("button").await;
    second.wait_until("document.body !== null && document.body.innerText.includes('idempotency_key_conflict')").await;
    let text = second.evaluate("document.body.innerText").await;
    assert!(text.as_str().unwrap().contains("To send it again as it is does not help."), "{text}");
}

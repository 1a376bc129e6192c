//! The example's page in a real browser: what each button leads to, under each handler.
//!
//! Screenshots of every state go to `target/page`, or where `PAGE_SCREENSHOTS` says.

use std::{env, fs, path::PathBuf};

use cratestack_tests::{Browser, Page, Service, Settings, TestDatabase};
use serde_json::Value;

const WINDOW: &str = "the process died after the effect and before the record";

/// The page of a service that restarts itself, with one of the handlers chosen.
struct Visit {
    page: Page,
    origin: String,
    shots: PathBuf,
    shot: usize,
    name: String,
    _browser: Browser,
    _service: Service,
    _database: Option<TestDatabase>,
}

/// What one can see once an act is over.
#[derive(Debug)]
struct Outcome {
    /// `good`, `wait` or `bad`.
    tone: String,
    text: String,
    /// Rows of the ledger for the newest order.
    charges: usize,
    /// What each of its requests got, in the order of sending.
    answers: Vec<String>,
}

impl Visit {
    async fn start(handler: &str, database: Option<TestDatabase>) -> Self {
        let mut settings = Settings::new().set("SUPERVISE", "1");
        if let Some(database) = &database {
            settings = settings.database(database.url());
        }
        let name = format!("{handler}-{}", if database.is_some() { "postgres" } else { "sqlite" });
        let (service, browser) = tokio::join!(Service::start(settings), Browser::launch());
        let origin = format!("http://{}/", service.address());
        let page = browser.open(&origin).await;
        page.resize(1280, 860, false).await;
        let shots = env::var_os("PAGE_SCREENSHOTS")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/page")), PathBuf::from);
        fs::create_dir_all(&shots).expect("the directory for screenshots can be made");
        page.wait_until("document.getElementById('process').dataset.state === 'up'").await;
        page.click(&format!("#{handler}")).await;
        Self { page, origin, shots, shot: 0, name, _browser: browser, _service: service, _database: database }
    }

    async fn shoot(&mut self, what: &str) {
        self.shot += 1;
        let file = self.shots.join(format!("{}-{:02}-{what}.png", self.name, self.shot));
        self.page.screenshot(&file).await;
    }

    /// Presses a button, waits until the page says what came of it, and takes a picture.
    async fn act(&mut self, button: &str) -> Outcome {
        let said = "document.querySelectorAll('.verdict[data-tone]:not(.aside)').length";
        let before = self.page.evaluate(said).await;
        self.page.click(&format!("#{button}")).await;
        self.page.wait_until(&format!("{said} > {before}")).await;
        self.shoot(button).await;
        let seen = self
            .page
            .evaluate(
                "(() => {
                    const card = document.querySelector('.card');
                    const verdict = [...card.querySelectorAll('.verdict:not(.aside)')].at(-1);
                    return {
                        tone: verdict.dataset.tone,
                        text: verdict.innerText,
                        charges: document.querySelectorAll(`#charges tr[data-order='${card.dataset.order}']`).length,
                        answers: [...card.querySelectorAll('.lane')].map(lane => lane.dataset.answer),
                    };
                })()",
            )
            .await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Outcome {
            tone: text(&seen["tone"]),
            text: text(&seen["text"]),
            charges: seen["charges"].as_u64().and_then(|charges| charges.try_into().ok()).expect("rows are counted"),
            answers: seen["answers"].as_array().into_iter().flatten().map(text).collect(),
        }
    }

    async fn process(&self) -> Value {
        self.page.evaluate("document.getElementById('process-text').innerText").await
    }

    /// Nothing was thrown, logged as an error or fetched from elsewhere.
    fn end(self) {
        for event in self.page.events("Runtime.exceptionThrown") {
            panic!("the page threw: {event}");
        }
        for event in self.page.events("Runtime.consoleAPICalled") {
            panic!("the page wrote to the console: {event}");
        }
        for event in self.page.events("Log.entryAdded") {
            let entry = &event["entry"];
            // The browser notes every answer of 400 and above, and that the service was away.
            let is_part_of_the_show = entry["source"] == "network"
                && entry["url"].as_str().is_some_and(|url| url.starts_with(&format!("{}shop/", self.origin)));
            assert!(entry["level"] != "error" || is_part_of_the_show, "{entry}");
        }
        let requests = self.page.events("Network.requestWillBeSent");
        assert!(requests.len() > 5, "{requests:?}");
        for event in requests {
            let url = event["request"]["url"].as_str().unwrap_or_default();
            assert!(url.starts_with(&self.origin) || url.starts_with("data:"), "a request to {url}");
        }
    }
}

#[track_caller]
fn expect(outcome: &Outcome, tone: &str, charges: usize, answers: &[&str]) {
    assert_eq!((outcome.tone.as_str(), outcome.charges), (tone, charges), "{outcome:?}");
    assert_eq!(outcome.answers, answers, "{outcome:?}");
}

/// Of fifty, one ran; how many of the others came after its end is a matter of luck.
#[track_caller]
fn expect_one_of_fifty(outcome: &Outcome) {
    assert_eq!((outcome.tone.as_str(), outcome.charges, outcome.answers.len()), ("good", 1, 50), "{outcome:?}");
    assert_eq!(outcome.answers.iter().filter(|answer| *answer == "new").count(), 1, "{outcome:?}");
    let told = outcome.answers.iter().filter(|answer| ["409", "replay"].contains(&answer.as_str()));
    assert_eq!(told.count(), 49, "{outcome:?}");
}

async fn bare(database: Option<TestDatabase>) {
    let mut visit = Visit::start("bare", database).await;
    expect(&visit.act("pay").await, "good", 1, &["new"]);
    expect(&visit.act("retry").await, "bad", 2, &["new", "new"]);
    expect(&visit.act("change").await, "bad", 3, &["new", "new", "new"]);
    expect(&visit.act("double").await, "bad", 2, &["new", "new"]);
    expect(&visit.act("fifty").await, "bad", 50, &["new"; 50]);
    expect(&visit.act("hangup").await, "wait", 1, &["gone"]);
    expect(&visit.act("retry").await, "bad", 2, &["gone", "new"]);
    let before = visit.process().await;
    expect(&visit.act("crash").await, "wait", 1, &["lost"]);
    assert_ne!(visit.process().await, before, "another process answers");
    expect(&visit.act("retry").await, "bad", 2, &["lost", "new"]);
    visit.end();
}

async fn reservation(database: Option<TestDatabase>) {
    let mut visit = Visit::start("reservation", database).await;
    expect(&visit.act("pay").await, "good", 1, &["new"]);
    expect(&visit.act("retry").await, "good", 1, &["new", "replay"]);
    expect(&visit.act("change").await, "good", 1, &["new", "replay", "422"]);
    let mut double = visit.act("double").await;
    double.answers.sort();
    expect(&double, "good", 1, &["409", "new"]);
    expect_one_of_fifty(&visit.act("fifty").await);
    expect(&visit.act("hangup").await, "good", 1, &["gone"]);
    expect(&visit.act("retry").await, "good", 1, &["gone", "replay"]);
    let before = visit.process().await;
    let crashed = visit.act("crash").await;
    expect(&crashed, "wait", 1, &["lost"]);
    assert!(crashed.text.contains(WINDOW), "{crashed:?}");
    assert_ne!(visit.process().await, before, "another process answers");
    expect(&visit.act("retry").await, "wait", 1, &["lost", "409"]);
    visit.page.wait_until("document.querySelector('.card').innerText.includes('The lease has ended')").await;
    let again = visit.act("retry").await;
    expect(&again, "bad", 2, &["lost", "409", "new"]);
    assert!(again.text.contains(WINDOW), "{again:?}");
    visit.end();
}

macro_rules! on_both {
    ($($name:ident => $story:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$story(None).await; })*
        }
        mod on_postgres {
            use super::TestDatabase;
            $(#[tokio::test(flavor = "multi_thread")] async fn $name() {
                super::$story(Some(TestDatabase::create().await)).await;
            })*
        }
    };
}

on_both! {
    the_bare_handler_charges_for_every_run => bare,
    the_reservation_names_its_window => reservation,
}

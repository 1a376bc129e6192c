//! The example's page in a real browser: what a newcomer sees of it, and what each button leads to, under each handler.
//!
//! Screenshots of every state go to `target/page`, or where `PAGE_SCREENSHOTS` says.

use std::{env, fs, path::PathBuf, sync::Arc};

use cratestack_tests::{Browser, Page, RedisServer, Service, Settings, TestDatabase};
use serde_json::{Value, json};

const WINDOW: &str = "the process died after the effect and before the record";

const PHONE: (u32, u32) = (390, 844);
const DESKTOP: (u32, u32) = (1280, 900);

/// The page of a service that restarts itself, with one of the handlers chosen.
struct Visit {
    page: Page,
    origin: String,
    shots: PathBuf,
    shot: usize,
    name: String,
    _browser: Arc<Browser>,
    _service: Service,
    _database: Option<TestDatabase>,
}

/// What one can see once an act is over.
#[derive(Debug)]
#[expect(dead_code, reason = "the visit's name is for messages")]
struct Outcome {
    visit: String,
    /// `good`, `wait` or `bad`.
    tone: String,
    text: String,
    /// Rows of the ledger for the newest order.
    charges: usize,
    /// What the newest of them says of shipments.
    shipped: String,
    /// What each of its requests got, in the order of sending.
    answers: Vec<String>,
}

impl Visit {
    async fn start(handler: &str, screen: (u32, u32), browser: Arc<Browser>, database: Option<TestDatabase>) -> Self {
        let mut settings = Settings::new();
        if let Some(database) = &database {
            settings = settings.database(database.url());
        }
        let name = format!("{handler}-{}", if database.is_some() { "postgres" } else { "sqlite" });
        let visit = Self::of(settings, name, screen, browser, database).await;
        visit.page.click(&format!("#{handler}")).await;
        visit
    }

    async fn of(
        settings: Settings,
        name: String,
        screen: (u32, u32),
        browser: Arc<Browser>,
        database: Option<TestDatabase>,
    ) -> Self {
        let settings = settings.set("SUPERVISE", "1");
        let service = Service::start(settings).await;
        let origin = format!("http://{}/", service.address());
        let page = browser.page().await;
        page.resize(screen.0, screen.1).await;
        page.open(&origin).await;
        // Cookies know no ports: the browser holds those of another service of this machine.
        page.evaluate("document.cookie = 'session=of-another-service'").await;
        let shots = env::var_os("PAGE_SCREENSHOTS")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/page")), PathBuf::from);
        fs::create_dir_all(&shots).expect("the directory for screenshots can be made");
        page.wait_until("document.getElementById('process').dataset.state === 'up'").await;
        Self { page, origin, shots, shot: 0, name, _browser: browser, _service: service, _database: database }
    }

    async fn shoot(&mut self, what: &str) {
        self.shot += 1;
        let file = self.shots.join(format!("{}-{:02}-{what}.png", self.name, self.shot));
        self.page.screenshot(&file).await;
    }

    /// How many acts the page has told the end of.
    const ENDED: &str = "document.querySelectorAll('.verdict[data-tone]:not(.aside)').length";

    /// Presses a button, waits until the page says what came of it, and takes a picture.
    async fn act(&mut self, button: &str) -> Outcome {
        let before = self.page.evaluate(Self::ENDED).await;
        self.page.click(&format!("#{button}")).await;
        self.page.wait_until(&format!("{} > {before}", Self::ENDED)).await;
        self.shoot(button).await;
        self.newest().await
    }

    /// What the page says of the newest order.
    async fn newest(&self) -> Outcome {
        let seen = self
            .page
            .evaluate(
                "(() => {
                    const card = document.querySelector('.card');
                    const verdict = [...card.querySelectorAll('.verdict:not(.aside)')].at(-1);
                    const rows = document.querySelectorAll(`#charges tr[data-order='${card.dataset.order}']`);
                    return {
                        tone: verdict.dataset.tone,
                        text: verdict.innerText,
                        charges: rows.length,
                        shipped: rows[0]?.cells[3].innerText ?? '',
                        answers: [...card.querySelectorAll('.lane')].map(lane => lane.dataset.answer),
                    };
                })()",
            )
            .await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Outcome {
            visit: self.name.clone(),
            tone: text(&seen["tone"]),
            text: text(&seen["text"]),
            charges: seen["charges"].as_u64().and_then(|charges| charges.try_into().ok()).expect("rows are counted"),
            shipped: text(&seen["shipped"]),
            answers: seen["answers"].as_array().into_iter().flatten().map(text).collect(),
        }
    }

    async fn process(&self) -> Value {
        self.page.evaluate("document.getElementById('process-text').innerText").await
    }

    /// Nothing was thrown, logged as an error or fetched from elsewhere.
    fn end(self) {
        for unwanted in ["Runtime.exceptionThrown", "Runtime.consoleAPICalled"] {
            let events = self.page.events(unwanted);
            assert!(events.is_empty(), "{unwanted}: {events:?}");
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

async fn bare(browser: Arc<Browser>, database: Option<TestDatabase>) {
    let mut visit = Visit::start("bare", DESKTOP, browser, database).await;
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

async fn reservation(browser: Arc<Browser>, database: Option<TestDatabase>) {
    let mut visit = Visit::start("reservation", DESKTOP, browser, database).await;
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

async fn transaction(browser: Arc<Browser>, database: Option<TestDatabase>) {
    let mut visit = Visit::start("transaction", DESKTOP, browser, database).await;
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
    expect(&visit.act("crash").await, "wait", 0, &["lost"]);
    assert_ne!(visit.process().await, before, "another process answers");
    expect(&visit.act("retry").await, "good", 1, &["lost", "new"]);
    expect(&visit.act("retry").await, "good", 1, &["lost", "new", "replay"]);
    visit.end();
}

async fn steps(browser: Arc<Browser>, database: Option<TestDatabase>) {
    let mut visit = Visit::start("steps", DESKTOP, browser, database).await;
    expect_shipped(&visit.act("pay").await, &["new"]);
    expect_shipped(&visit.act("retry").await, &["new", "replay"]);
    expect_shipped(&visit.act("change").await, &["new", "replay", "422"]);
    let mut double = visit.act("double").await;
    double.answers.sort();
    expect_shipped(&double, &["409", "new"]);
    let fifty = visit.act("fifty").await;
    expect_one_of_fifty(&fifty);
    assert_eq!(fifty.shipped, "once", "{fifty:?}");
    expect_shipped(&visit.act("hangup").await, &["gone"]);
    expect_shipped(&visit.act("retry").await, &["gone", "replay"]);

    let before = visit.process().await;
    let crashed = visit.act("crash").await;
    expect(&crashed, "wait", 1, &["lost"]);
    assert_eq!(crashed.shipped, "–", "{crashed:?}");
    assert!(crashed.text.contains("Charged once, not shipped: the process died between the two"), "{crashed:?}");
    assert_ne!(visit.process().await, before, "another process answers");
    expect(&visit.act("retry").await, "wait", 1, &["lost", "409"]);
    visit.page.wait_until("document.querySelector('.card').innerText.includes('The lease has ended')").await;
    let again = visit.act("retry").await;
    expect_shipped(&again, &["lost", "409", "new"]);
    let told = "Charged once, shipped once. The retry skipped the charge, which was recorded. It made the shipment.";
    assert!(again.text.contains(told), "{again:?}");
    // The charge is the first process's, and the retry shows a skipped step in its place.
    let marks = "[...document.querySelectorAll('.card:first-child .lane')].map(
        lane => [...lane.querySelectorAll('.track i:not([hidden])')].map(mark => mark.className).join())";
    let expected = json!(["wait,run,window,charge,cut", "wait", "wait,run,skip,ship"]);
    assert_eq!(visit.page.evaluate(marks).await, expected);
    expect_shipped(&visit.act("retry").await, &["lost", "409", "new", "replay"]);
    visit.end();
}

#[track_caller]
fn expect_shipped(outcome: &Outcome, answers: &[&str]) {
    expect(outcome, "good", 1, answers);
    assert_eq!(outcome.shipped, "once", "{outcome:?}");
}

/// One browser for both databases: the stories mostly wait, and so wait together.
async fn on_both<S: Future<Output = ()>>(story: impl Fn(Arc<Browser>, Option<TestDatabase>) -> S) {
    let (browser, database) = tokio::join!(Browser::launch(), TestDatabase::create());
    let browser = Arc::new(browser);
    tokio::join!(story(Arc::clone(&browser), None), story(Arc::clone(&browser), Some(database)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bare_handler_charges_for_every_run() {
    on_both(bare).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reservation_names_its_window() {
    on_both(reservation).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_transaction_charges_once_whatever_happens() {
    on_both(transaction).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_charge_once_and_ship_once_whatever_happens() {
    on_both(steps).await;
}

/// Everything that has text, with less contrast to what lies behind it than WCAG AA asks for.
/// Nothing moves but what shows a lease.
const STILL: &str = "document.getAnimations().every(animation => animation.effect.target.className === 'lease')";

const PALE: &str = "(() => {
    const channels = color => (color.match(/[\\d.]+/g) ?? []).map(Number);
    const luminance = ([r, g, b]) => [[r, .2126], [g, .7152], [b, .0722]].reduce((sum, [value, share]) => {
        const part = value / 255;
        return sum + share * (part <= .04045 ? part / 12.92 : ((part + .055) / 1.055) ** 2.4);
    }, 0);
    const behind = element => {
        for (let at = element; at; at = at.parentElement) {
            const color = channels(getComputedStyle(at).backgroundColor);
            if (color.length === 3 || color[3] > 0) return color;
        }
        return [255, 255, 255];
    };
    const own = element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim() !== '');
    const all = [...document.body.querySelectorAll('*')];
    return all.filter(element => own(element) && element.checkVisibility()).flatMap(element => {
        const [one, other] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))];
        const contrast = (Math.max(one, other) + .05) / (Math.min(one, other) + .05);
        const name = element.className || element.id;
        return contrast < 4.5 ? [`${name}: ${element.innerText} ${contrast.toFixed(2)}`] : [];
    });
})()";

#[tokio::test(flavor = "multi_thread")]
async fn it_is_readable_on_a_phone_in_the_dark_and_without_motion() {
    let mut visit = Visit::start("reservation", PHONE, Arc::new(Browser::launch().await), None).await;
    "looks".clone_into(&mut visit.name);
    let dark = [("prefers-color-scheme", "dark"), ("prefers-reduced-motion", "reduce")];
    visit.shoot("phone").await;
    visit.act("fifty").await;
    visit.act("hangup").await;
    visit.page.prefer(&dark).await;
    visit.act("crash").await;
    assert_eq!(visit.page.evaluate("document.getAnimations().length").await, 0, "nothing moves");
    visit.act("change").await;
    visit.page.click("#bare").await;
    visit.act("double").await;
    for (screen, (width, height)) in
        [("small", (320, 640)), ("phone", PHONE), ("tablet", (768, 1024)), ("desktop", DESKTOP)]
    {
        visit.page.resize(width, height).await;
        for (scheme, features) in [("dark", &dark[..]), ("light", &[])] {
            visit.page.prefer(features).await;
            visit.page.wait_until(STILL).await;
            visit.shoot(&format!("{screen}-{scheme}")).await;
            let widths = "[document.documentElement.scrollWidth, innerWidth]";
            let seen = visit.page.evaluate(widths).await;
            assert_eq!((&seen[0], &seen[1]), (&width.into(), &width.into()), "{screen} scrolls sideways");
            let pale = visit.page.evaluate(PALE).await;
            assert_eq!(pale.as_array().map(Vec::len), Some(0), "{screen}, {scheme}: {pale:#}");
            let red = "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])";
            let red = visit.page.evaluate(red).await.as_u64().expect("a color has channels");
            assert!(if scheme == "dark" { red < 50 } else { red > 200 }, "the background of {scheme} has {red} red");
        }
    }
    visit.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_used_by_keyboard_alone() {
    let mut visit = Visit::start("bare", DESKTOP, Arc::new(Browser::launch().await), None).await;
    "keyboard".clone_into(&mut visit.name);
    let page = &visit.page;
    page.evaluate("document.activeElement.blur()").await;
    let mut reached = Vec::new();
    for _ in 0..16 {
        page.press("Tab").await;
        let focus = page
            .evaluate(
                "(() => {
                    const at = document.activeElement;
                    const shown = at.closest('label') ?? at;
                    const { outlineStyle, outlineWidth } = getComputedStyle(shown);
                    return [at.id || at.localName, outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2];
                })()",
            )
            .await;
        let name = focus[0].as_str().unwrap_or_default().to_owned();
        assert!(focus[1] == true || name == "body", "the focus on {name} cannot be seen");
        reached.push(name);
    }
    for control in [
        "guarantees",
        "bare",
        "next",
        "pay",
        "double",
        "fifty",
        "hangup",
        "crash",
        "retry",
        "change",
        "rows",
        "code-title",
        "pre",
    ] {
        assert!(reached.iter().any(|name| name == control), "{control} is out of reach: {reached:?}");
    }
    let named = "[...document.querySelectorAll('button, input, [tabindex], [role=radiogroup], [role=log]')].every(
        control => control.innerText.trim() || control.labels?.length || control.hasAttribute('aria-labelledby'))";
    assert_eq!(page.evaluate(named).await, true);
    let described = "[...document.querySelectorAll('button')].every(
        button => document.getElementById(button.getAttribute('aria-describedby')).innerText.trim())";
    assert_eq!(page.evaluate(described).await, true);
    assert_eq!(page.evaluate("document.querySelector('[role=log]').ariaLive").await, "polite");

    // From the choice on: the arrow chooses, Tab goes past the guide to the button.
    page.evaluate("document.getElementById('bare').focus()").await;
    page.press("ArrowRight").await;
    page.wait_until("document.querySelector('code[data-handler=reservation]').checkVisibility()").await;
    for key in ["Tab", "Tab", "Enter"] {
        page.press(key).await;
    }
    page.wait_until("document.querySelectorAll('#charges tr').length === 1").await;
    page.wait_until("document.querySelector('.verdict.good') !== null").await;
    visit.shoot("paid").await;

    // While the service is away, buttons say so and do nothing.
    visit.page.click("#crash").await;
    visit.page.wait_until("document.getElementById('process').dataset.state === 'away'").await;
    let idle = "[...document.querySelectorAll('button')].every(button => button.ariaDisabled === 'true')";
    assert_eq!(visit.page.evaluate(idle).await, true);
    visit.shoot("away").await;
    visit.page.wait_until("document.getElementById('process').dataset.state === 'up'").await;
    visit.page.wait_until("document.querySelectorAll('.verdict:not(.aside)').length === 2").await;
    visit.end();
}

/// What of the page is not wholly on the screen, at the size and place that it has.
const OUT_OF_SIGHT: &str =
    "[...document.querySelectorAll('h1, .product, #guarantees, .choice label, .guide, button, .ledger')]
    .filter(element => element.checkVisibility())
    .filter(element => {
        const { top, bottom, left, right } = element.getBoundingClientRect();
        return top < 0 || left < 0 || bottom > innerHeight || right > innerWidth;
    })
    .map(element => element.id || element.className || element.innerText)";

#[tokio::test(flavor = "multi_thread")]
async fn the_first_screen_has_every_button_and_the_whole_ledger() {
    let mut visit = Visit::start("bare", DESKTOP, Arc::new(Browser::launch().await), None).await;
    "first-screen".clone_into(&mut visit.name);
    let (width, height) = DESKTOP;
    for (handler, acts) in [
        ("bare", &["double", "fifty"][..]),
        ("reservation", &["crash", "retry", "change"]),
        ("transaction", &["fifty", "crash", "retry"]),
        ("steps", &["fifty", "crash", "retry", "change"]),
    ] {
        visit.page.click(&format!("#{handler}")).await;
        for act in acts {
            visit.act(act).await;
            // Taking a picture may have left a scroll bar's room, and the page scrolled.
            visit.page.resize(width, height).await;
            visit.page.evaluate("scrollTo(0, 0)").await;
            assert_eq!(visit.page.evaluate(OUT_OF_SIGHT).await, json!([]), "{handler}, {act}");
            let cut = "[rows.scrollWidth - rows.clientWidth, document.documentElement.scrollWidth - innerWidth]";
            assert_eq!(visit.page.evaluate(cut).await, json!([0, 0]), "{handler}, {act}: something is cut off");
        }
    }
    visit.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn it_names_the_product_and_links_what_is_promised() {
    let mut visit = Visit::start("bare", PHONE, Arc::new(Browser::launch().await), None).await;
    "guarantees".clone_into(&mut visit.name);
    let page = &visit.page;
    for screen in [PHONE, DESKTOP] {
        page.resize(screen.0, screen.1).await;
        let title = "document.querySelector('.product').innerText + ': ' + document.querySelector('h1').innerText";
        assert_eq!(page.evaluate(title).await, "cratestack-runtime #[idempotent] for axum: A payment is made once");
        let link = "(({ top, bottom }) => 0 <= top && bottom <= innerHeight)(guarantees.getBoundingClientRect())";
        assert_eq!(page.evaluate(link).await, true, "{screen:?}: the link is out of sight");
    }
    let broken = "Promise.all([...document.links].map(async link =>
            link.hash ? document.getElementById(link.hash.slice(1)) !== null : (await fetch(link.href)).status === 200))
        .then(sound => [sound.length, [...document.links].filter((_, nth) => !sound[nth]).map(link => link.href)])";
    assert_eq!(page.evaluate(broken).await, json!([2, []]));

    page.click("#guarantees").await;
    page.wait_until("location.pathname === '/guarantees' && document.readyState === 'complete'").await;
    let headings = "[...document.querySelectorAll('h1, h2')].map(heading => heading.innerText)";
    let headings = page.evaluate(headings).await;
    for heading in ["What is promised", "Promised, on every store", "Not promised"] {
        assert!(headings.as_array().is_some_and(|all| all.contains(&heading.into())), "{heading}: {headings}");
    }
    // Links to other documents have become text; what is left leads somewhere.
    let links = "[...document.links].map(link => link.getAttribute('href'))";
    let links = page.evaluate(links).await;
    let links: Vec<_> = links.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert!(links.len() > 10 && links.contains(&"/") && links.contains(&"#not-promised"), "{links:?}");
    for link in links {
        let found = match link.strip_prefix('#') {
            Some(name) => page.evaluate(&format!("document.getElementById({name:?}) !== null")).await == true,
            None => link == "/" || link.starts_with("https://"),
        };
        assert!(found, "{link} leads nowhere");
    }
    let ids = "(ids => [ids.length > 10, ids.length - new Set(ids).size])(
        [...document.querySelectorAll('[id]')].map(({ id }) => id))";
    assert_eq!(page.evaluate(ids).await, json!([true, 0]), "a name stands for one heading");
    for screen in [PHONE, DESKTOP] {
        for scheme in ["dark", "light"] {
            page.resize(screen.0, screen.1).await;
            page.prefer(&[("prefers-color-scheme", scheme)]).await;
            let too_faint = page.evaluate(PALE).await;
            assert_eq!(too_faint, json!([]), "{screen:?}, {scheme}");
            let sideways = "document.documentElement.scrollWidth - innerWidth";
            assert_eq!(page.evaluate(sideways).await, 0, "{screen:?} scrolls sideways");
        }
    }
    visit.shoot("guarantees").await;
    visit.page.click("a[href='/']").await;
    visit.page.wait_until("location.pathname === '/' && document.getElementById('pay') !== null").await;
    visit.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_phone_the_result_is_seen_beside_the_button() {
    let mut visit = Visit::start("reservation", PHONE, Arc::new(Browser::launch().await), None).await;
    "beside".clone_into(&mut visit.name);
    for button in ["pay", "double", "fifty", "hangup", "crash", "retry", "change"] {
        // In the last place where it can be pressed: just above the strip that will say what came of it.
        let last = format!(
            "scrollBy({{ behavior: 'instant', top: {button}.getBoundingClientRect().bottom
                - guide.getBoundingClientRect().top }})"
        );
        visit.page.evaluate(&last).await;
        let before = visit.page.evaluate(Visit::ENDED).await;
        visit.page.click_in_place(&format!("#{button}")).await;
        visit.page.wait_until(&format!("{} > {before}", Visit::ENDED)).await;
        let seen = visit
            .page
            .evaluate(&format!(
                "(() => {{
                    const within = element => {{
                        const {{ left, top, right, bottom }} = element.getBoundingClientRect();
                        return [left + 9, right - 9].every(x => [top + 9, bottom - 9].every(
                            y => element.contains(document.elementFromPoint(x, y))));
                    }};
                    const card = document.querySelector('.card');
                    const verdict = [...card.querySelectorAll('.verdict:not(.aside)')].at(-1);
                    return [within({button}), within(said), within(next), said.innerText === verdict.innerText.trim(),
                        said.dataset.tone === verdict.dataset.tone, total.checkVisibility()];
                }})()"
            ))
            .await;
        assert_eq!(seen, json!(vec![true; 6]), "{button}");
        visit.shoot(button).await;
    }
    visit.end();
}

/// A customer's own double-click is on one order: its second click sends the first one's request again.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_double_click_is_on_one_order() {
    let mut visit = Visit::start("reservation", DESKTOP, Arc::new(Browser::launch().await), None).await;
    "two-clicks".clone_into(&mut visit.name);
    let orders = "document.querySelectorAll('.card').length";
    visit.page.double_click("#pay").await;
    visit.page.wait_until(&format!("{} === 2", Visit::ENDED)).await;
    expect(&visit.newest().await, "good", 1, &["new", "409"]);
    assert_eq!(visit.page.evaluate(orders).await, 1);

    visit.page.click("#bare").await;
    visit.page.double_click("#pay").await;
    visit.page.wait_until(&format!("{} === 4", Visit::ENDED)).await;
    expect(&visit.newest().await, "bad", 2, &["new", "new"]);
    assert_eq!(visit.page.evaluate(orders).await, 2);

    // The other buttons mean one thing each, and do it once.
    visit.page.double_click("#double").await;
    visit.page.wait_until(&format!("{} === 5", Visit::ENDED)).await;
    expect(&visit.newest().await, "bad", 2, &["new", "new"]);
    assert_eq!(visit.page.evaluate(orders).await, 3);
    visit.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_word_and_color_is_explained_where_it_appears() {
    let mut visit = Visit::start("bare", DESKTOP, Arc::new(Browser::launch().await), None).await;
    "words".clone_into(&mut visit.name);
    let promises =
        "[...document.querySelectorAll('.choice label')].map(label => label.innerText.replace(/\\s+/g, ' '))";
    let promises = visit.page.evaluate(promises).await;
    for (nth, words) in [
        &["bare without #[idempotent]", "No protection", "Every request runs the handler"][..],
        &[
            "reservation #[idempotent(lease = \"4s\")]",
            "Reserves the Idempotency-Key",
            "lease: 4 s without a sign of life",
        ],
        &["transaction #[idempotent(transaction)]", "one commit", "both are made, or neither"],
        &["steps #[idempotent(lease = \"4s\")]", "a call of a payment provider", "a retry after a crash skips it"],
    ]
    .into_iter()
    .enumerate()
    {
        for word in words {
            assert!(promises[nth].as_str().is_some_and(|promise| promise.contains(word)), "{word}: {promises:#}");
        }
    }
    for handler in ["bare", "reservation", "transaction", "steps"] {
        visit.page.click(&format!("#{handler}")).await;
        visit.act("double").await;
        visit.act("fifty").await;
        visit.act("hangup").await;
        let crashed = visit.act("crash").await;
        let explained = match handler {
            "reservation" => &[
                "the window of a reservation, the time between the charge and its record",
                "until its lease of 4 s has ended",
            ][..],
            "transaction" => &["the charge was undone"],
            "steps" => &["the process died between the two", "until its lease of 4 s has ended"],
            _ => &["nobody remembers the request"],
        };
        for word in explained
            .iter()
            .chain(&["Without an answer the client cannot know whether it has paid", "pressing Retry does that"])
        {
            assert!(crashed.text.contains(word), "{crashed:?}");
        }
    }
    visit.page.wait_until("document.querySelector('.card').innerText.includes('The lease has ended')").await;
    visit.act("retry").await;
    let code = visit.page.evaluate("document.getElementById('code-title').innerText").await;
    assert!(code.as_str().is_some_and(|code| code.contains("Answer") && code.contains("not to copy")), "{code}");
    // Every mark that a lane shows, and every sign of a verdict, stands in the legend as it looks in the lane.
    let unexplained = "(() => {
        const look = (element, pseudo) => {
            const style = getComputedStyle(element, pseudo);
            const seen = pseudo ? ['color', 'content'] : ['backgroundColor', 'backgroundImage'];
            return seen.map(property => style[property].slice(0, 30)).join();
        };
        const legend = new Map([...document.querySelectorAll('.legend li')].map(entry => {
            const mark = entry.querySelector('i');
            return [look(mark, mark.className === 'sign' ? '::before' : null), entry.innerText.trim()];
        }));
        const marks = [...document.querySelectorAll('.lanes:not(.thin) .track i:not([hidden])')];
        const plain = marks.filter(mark => mark.innerText === '' && !mark.closest('.undoes[data-answer=lost]'));
        const signs = [...document.querySelectorAll('.verdict:not(.aside) .sign')];
        const looks = [...plain.map(mark => look(mark, null)), ...signs.map(sign => look(sign, '::before'))];
        return [new Set(looks).size, looks.filter(seen => !legend.get(seen))];
    })()";
    assert_eq!(visit.page.evaluate(unexplained).await, json!([10, []]));
    // The thin lanes of many requests say themselves what their colors are.
    let thin = "[...document.querySelectorAll('.card:has(.thin)')].map(card => [card.querySelector('.mode').innerText,
        [...card.querySelectorAll('.thin .label span')].map(said => said.innerText).join()])";
    let told = "told 409,got the answer";
    let expected = json!([["steps", told], ["transaction", told], ["reservation", told], ["bare", ""]]);
    assert_eq!(visit.page.evaluate(thin).await, expected);
    visit.shoot("all").await;
    visit.end();
}

/// The refusal of another amount answers another request: the order's own client has no answer, and asks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_amount_does_not_end_an_order_without_an_answer() {
    let mut visit = Visit::start("reservation", PHONE, Arc::new(Browser::launch().await), None).await;
    "refused".clone_into(&mut visit.name);
    let open = "[document.querySelector('.card').dataset.tone, next.textContent]";
    expect(&visit.act("crash").await, "wait", 1, &["lost"]);
    expect(&visit.act("change").await, "wait", 1, &["lost", "422"]);
    visit.page.wait_until("document.querySelector('.card').innerText.includes('The lease has ended')").await;
    assert_eq!(visit.page.evaluate(open).await, json!(["wait", "Retry"]));
    let refused = visit.act("change").await;
    expect(&refused, "wait", 1, &["lost", "422", "422"]);
    assert!(refused.text.contains("Charged once so far, and the first request has no answer"), "{refused:?}");
    assert_eq!(visit.page.evaluate(open).await, json!(["wait", "Retry"]));

    let before = visit.page.evaluate(Visit::ENDED).await;
    visit.page.click_in_place("#next").await;
    visit.page.wait_until(&format!("{} > {before}", Visit::ENDED)).await;
    expect(&visit.newest().await, "bad", 2, &["lost", "422", "422", "new"]);
    // What is refused or replayed from here on does not undo the second charge.
    expect(&visit.act("change").await, "bad", 2, &["lost", "422", "422", "new", "422"]);
    expect(&visit.act("retry").await, "bad", 2, &["lost", "422", "422", "new", "422", "replay"]);
    visit.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_leads_from_the_first_press_to_what_is_promised() {
    let mut visit = Visit::start("bare", PHONE, Arc::new(Browser::launch().await), None).await;
    "guide".clone_into(&mut visit.name);
    let page = &visit.page;
    assert_eq!(page.evaluate("document.getElementById('when').innerText").await, "Start here:");
    let mut charged = Vec::new();
    for step in [
        "Send twice",
        "Choose reservation",
        "Send twice",
        "Crash the process",
        "Retry",
        "Retry",
        "Choose transaction",
        "Send twice",
        "Crash the process",
        "Retry",
        "Choose steps",
        "Send twice",
        "Crash the process",
        "Retry",
        "Retry",
    ] {
        page.wait_until("next.checkVisibility()").await;
        assert_eq!(page.evaluate("next.textContent").await, step, "after {charged:?}");
        let before = page.evaluate(Visit::ENDED).await;
        if charged.last().is_some_and(|told: &String| told.contains("409, in use")) {
            page.wait_until("document.querySelector('.card').innerText.includes('The lease has ended')").await;
        }
        page.click_in_place("#next").await;
        if step.starts_with("Choose") {
            page.wait_until("said.hidden").await;
        } else {
            page.wait_until(&format!("{} > {before}", Visit::ENDED)).await;
            charged.push(page.evaluate("said.innerText").await.as_str().unwrap_or_default().to_owned());
        }
    }
    let expected = [
        "Charged twice",
        "Charged once",
        "Charged once",
        "409",
        "Charged twice",
        "Charged once",
        "Not charged",
        "Charged once",
        "Charged once, shipped once",
        "Charged once, not shipped",
        "409",
        "Charged once, shipped once",
    ];
    assert_eq!(charged.len(), expected.len(), "{charged:?}");
    for (told, expected) in charged.iter().zip(expected) {
        assert!(told.starts_with(expected), "{expected}: {charged:#?}");
    }
    assert_eq!(page.evaluate("next.textContent").await, "Read the guarantees");
    page.click_in_place("#next").await;
    page.wait_until("location.pathname === '/guarantees'").await;
    visit.end();
}

/// The words beside each handler are as true as `payments_service.rs` has them; here they are seen.
/// It comes back empty, as it keeps nothing on its disk; and the service, which looks at it once a second, has seen that.
async fn lose(redis: &RedisServer) {
    redis.kill().await;
    redis.start().await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_keys_in_redis_each_handler_says_what_that_promises() {
    let (browser, redis) = tokio::join!(Browser::launch(), RedisServer::launch());
    let settings = Settings::new().redis(&redis.url());
    let mut visit = Visit::of(settings, "redis".to_owned(), DESKTOP, Arc::new(browser), None).await;
    let served = visit.process().await;
    assert!(served.as_str().is_some_and(|served| served.ends_with("on SQLite, keys in Redis")), "{served}");
    for (handler, words) in [
        ("bare", "It keeps no key, so Redis changes nothing."),
        ("reservation", "If Redis is lost, or a failover loses its last writes, the key is forgotten"),
        ("transaction", "A lost Redis changes nothing."),
        ("steps", "the provider, who is shown the same key, charges once all the same"),
    ] {
        let said = format!("document.getElementById('{handler}-beside').innerText");
        let said = visit.page.evaluate(&said).await;
        assert!(said.as_str().is_some_and(|said| said.contains(words)), "{handler}: {said}");
    }
    for (screen, name) in [(PHONE, "phone"), (DESKTOP, "desktop")] {
        visit.page.resize(screen.0, screen.1).await;
        visit.page.wait_until(STILL).await;
        assert_eq!(visit.page.evaluate(PALE).await, json!([]), "{name}");
        let sideways = "document.documentElement.scrollWidth - innerWidth";
        assert_eq!(visit.page.evaluate(sideways).await, 0, "{name} scrolls sideways");
        visit.shoot(name).await;
    }

    for (handler, tone, charges, shipped, answer) in [
        ("reservation", "bad", 2, "–", "new"),
        ("transaction", "good", 1, "–", "replay"),
        ("steps", "bad", 1, "twice", "new"),
    ] {
        visit.page.click(&format!("#{handler}")).await;
        expect(&visit.act("pay").await, "good", 1, &["new"]);
        lose(&redis).await;
        let again = visit.act("retry").await;
        expect(&again, tone, charges, &["new", answer]);
        assert_eq!(again.shipped, shipped, "{again:?}");
    }
    visit.end();
}

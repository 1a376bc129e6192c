//! A headless Chromium, driven over the `DevTools` protocol.
//!
//! ```no_run
//! # async fn example(address: std::net::SocketAddr) {
//! use cratestack_tests::Browser;
//!
//! let browser = Browser::launch().await;
//! let page = browser.page().await;
//! page.open(&format!("http://{address}/")).await;
//! page.click("#pay").await;
//! page.wait_until("document.querySelectorAll('tbody tr').length === 1").await;
//! # }
//! ```
//!
//! `CHROMIUM` names the program; else it is looked for in PATH.

mod pipe;
mod program;

use std::{path::Path, process::Stdio, sync::Arc, time::Duration};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep},
};

use self::pipe::Pipe;

/// Longer than anything on a page takes, also on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with a profile of its own. It ends when it is dropped, or its test process is.
#[derive(Debug)]
pub struct Browser {
    pipe: Arc<Pipe>,
    _process: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts it.
    ///
    /// # Panics
    /// When there is no Chromium to be had; the message names the command that brings one.
    pub async fn launch() -> Self {
        let program = tokio::task::spawn_blocking(program::find).await;
        let program = program.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()));
        let profile = tempfile::tempdir().expect("a temporary directory can be made");
        // The browser reads commands from descriptor 3 and answers on 4; when they close, it ends.
        let script = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null"#;
        let mut process = Command::new("sh")
            .args(["-c", script])
            .arg(&program)
            .args(["--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu", "--hide-scrollbars"])
            // Containers run as root, and have little of /dev/shm.
            .args(["--no-sandbox", "--disable-dev-shm-usage"])
            // It is to talk to the page's host and nobody else.
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            // A page that is not in front counts as much as the one that is.
            .args(["--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows"])
            .arg("--disable-renderer-backgrounding")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        let (to, from) = (process.stdin.take(), process.stdout.take());
        let pipe = Pipe::over(to.expect("the input is piped"), from.expect("the output is piped"));
        Self { pipe, _process: process, _profile: profile }
    }

    /// An empty page.
    ///
    /// # Panics
    /// When the browser has ended.
    pub async fn page(&self) -> Page {
        let target =
            self.pipe.call(None, "Target.createTarget", json!({"url": "about:blank", "newWindow": true})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.pipe.call(None, "Target.attachToTarget", attach).await;
        let session = attached["sessionId"].as_str().expect("a session has a name").to_owned();
        let page = Page { pipe: Arc::clone(&self.pipe), session };
        for domain in ["Page", "Runtime", "Log", "Network"] {
            page.call(&format!("{domain}.enable"), json!({})).await;
        }
        page
    }
}

/// An open page.
#[derive(Debug)]
pub struct Page {
    pipe: Arc<Pipe>,
    session: String,
}

impl Page {
    /// Any command of the protocol.
    ///
    /// # Panics
    /// When the browser refuses it.
    pub async fn call(&self, method: &str, parameters: Value) -> Value {
        self.pipe.call(Some(&self.session), method, parameters).await
    }

    /// Goes to an address and waits until what is there is loaded.
    ///
    /// # Panics
    /// When it does not load.
    pub async fn open(&self, url: &str) {
        self.call("Page.navigate", json!({"url": url})).await;
        self.wait_until("location.href !== 'about:blank' && document.readyState === 'complete'").await;
    }

    /// The value of an expression; of a promise, what it resolves to.
    ///
    /// # Panics
    /// When it throws.
    pub async fn evaluate(&self, expression: &str) -> Value {
        let how = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let evaluated = self.call("Runtime.evaluate", how).await;
        assert!(evaluated["exceptionDetails"].is_null(), "{expression}: {}", evaluated["exceptionDetails"]);
        evaluated["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    ///
    /// # Panics
    /// When it is not within half a minute; the message has the page's text.
    pub async fn wait_until(&self, expression: &str) {
        let started = Instant::now();
        while self.evaluate(expression).await != true {
            if started.elapsed() > PATIENCE {
                let text = self.evaluate("document.body.innerText").await;
                panic!("never true: {expression}\n{}", text.as_str().unwrap_or_default());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Clicks on the first element that matches, as a mouse does, with the page scrolled so that it is in the middle.
    ///
    /// # Panics
    /// When there is none, or another element covers it.
    pub async fn click(&self, selector: &str) {
        let scroll = "scrollIntoView({ block: 'center', behavior: 'instant' })";
        self.evaluate(&format!("document.querySelector({selector:?}).{scroll}")).await;
        self.click_in_place(selector).await;
    }

    /// The same where it is, without scrolling.
    ///
    /// # Panics
    /// When there is none, or it is out of sight, or another element covers it.
    pub async fn click_in_place(&self, selector: &str) {
        self.press_mouse(selector, 1).await;
    }

    /// Clicks twice where it is, as fast as a double-click.
    ///
    /// # Panics
    /// When there is none, or it is out of sight, or another element covers it.
    pub async fn double_click(&self, selector: &str) {
        self.press_mouse(selector, 1).await;
        self.press_mouse(selector, 2).await;
    }

    async fn press_mouse(&self, selector: &str, nth_click: u8) {
        let place = self
            .evaluate(&format!(
                "(() => {{
                    const found = document.querySelector({selector:?});
                    const {{ x, y, width, height }} = found.getBoundingClientRect();
                    const [left, top] = [x + width / 2, y + height / 2];
                    const hit = document.elementFromPoint(left, top);
                    return found === hit || found.contains(hit) ? {{ x: left, y: top }} : null;
                }})()"
            ))
            .await;
        assert!(place.is_object(), "{selector} is covered, or out of sight");
        for kind in ["mousePressed", "mouseReleased"] {
            let at = (&place["x"], &place["y"]);
            let event = json!({"type": kind, "x": at.0, "y": at.1, "button": "left", "clickCount": nth_click});
            self.call("Input.dispatchMouseEvent", event).await;
        }
    }

    /// Presses a key by its name, such as `Tab`, `Enter` or `ArrowRight`.
    pub async fn press(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "ArrowRight" => 39,
            _ => 0,
        };
        let text = if key == "Enter" { "\r" } else { "" };
        let down = json!({"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
        self.call("Input.dispatchKeyEvent", down).await;
        let up = json!({"type": "keyUp", "key": key, "code": key, "windowsVirtualKeyCode": code});
        self.call("Input.dispatchKeyEvent", up).await;
    }

    /// Shows the page on a screen of this size.
    pub async fn resize(&self, width: u32, height: u32) {
        let screen = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", screen).await;
    }

    /// Sets media features, such as `("prefers-color-scheme", "dark")`, and unsets all others.
    pub async fn prefer(&self, features: &[(&str, &str)]) {
        let features: Vec<_> = features.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        self.call("Emulation.setEmulatedMedia", json!({"features": features})).await;
    }

    /// Writes the whole page, from its top to its end, as a PNG file.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub async fn screenshot(&self, file: &Path) {
        let size = "scrollTo(0, 0); [innerWidth, innerHeight, document.documentElement.scrollHeight]";
        let size = self.evaluate(size).await;
        // On a screen that shows all of it: beyond the screen's edge, parts are not always drawn.
        let screen =
            |height: &Value| json!({"width": size[0], "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", screen(&size[2])).await;
        let shot = self.call("Page.captureScreenshot", json!({"format": "png"})).await;
        self.call("Emulation.setDeviceMetricsOverride", screen(&size[1])).await;
        let png = BASE64_STANDARD.decode(shot["data"].as_str().unwrap_or_default()).expect("an image comes as base64");
        std::fs::write(file, png).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }

    /// What the browser reported on this page so far, such as `Network.requestWillBeSent`.
    pub fn events(&self, method: &str) -> Vec<Value> {
        self.pipe.events(&self.session, method)
    }
}

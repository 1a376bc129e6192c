//! Multipart forms: a client that makes one anew makes another boundary, and the same key then names another request.

use std::path::Path;

use reqwest::multipart::{Form, Part};
use tempfile::TempDir;
use tokio::process::Command;

use crate::programs::{run, setup};
use crate::rust::{buffer, client};
use crate::stage::KEY;
use crate::till::Till;
use crate::toolbox::{self, CLIENTS};
use crate::wire::Trouble::{self, LoseAnswer};
use crate::wire::{Try, Wire};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Curl,
    Requests,
    Fetch,
    Axios,
    Got,
    Reqwest,
}

const ALL: [Client; 6] = [Client::Curl, Client::Requests, Client::Fetch, Client::Axios, Client::Got, Client::Reqwest];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The caller calls twice, and each call makes the form.
    Anew,
    /// The caller calls once, and the client sends it again by itself.
    Retried,
    /// The form is encoded once and sent twice.
    Once,
}

struct Uploaded {
    /// What each call was told.
    statuses: Vec<u16>,
    tries: Vec<Try>,
    effects: usize,
}

impl Uploaded {
    fn is_same_request(&self) -> bool {
        let first = &self.tries[0];
        self.tries.iter().all(|attempt| (&attempt.content_type, &attempt.body) == (&first.content_type, &first.body))
    }

    fn ends_with_a_replay(&self) -> bool {
        self.tries.last().and_then(|last| last.answered.as_ref()).is_some_and(|answered| answered.is_replay)
    }
}

async fn upload(client: Client, mode: Mode, path: &'static str, script: &'static [Trouble]) -> Uploaded {
    let till = Till::start(&[]).await;
    let wire = Wire::before(till.address(), script).await;
    let url = format!("{}{path}", wire.url());
    let word = match mode {
        Mode::Anew => "anew",
        Mode::Retried => "retried",
        Mode::Once => "once",
    };
    let statuses = match client {
        Client::Curl => curl(mode, &url).await,
        Client::Requests => {
            let mut command = Command::new(setup(toolbox::python).await);
            command.env("PYTHONDONTWRITEBYTECODE", "1").arg(format!("{CLIENTS}/python/upload.py"));
            program(command.args([word, &url, KEY])).await
        }
        Client::Fetch => node("fetch", word, &url).await,
        Client::Axios => node("axios", word, &url).await,
        Client::Got => node("got", word, &url).await,
        Client::Reqwest => reqwest(mode, &url).await.expect("reqwest sends it"),
    };
    Uploaded { statuses, tries: wire.tries(), effects: till.effects().await }
}

async fn node(client: &str, mode: &str, url: &str) -> Vec<u16> {
    let mut command = Command::new("node");
    command.arg(setup(toolbox::node).await.join("upload.mjs"));
    program(command.args([client, mode, url, KEY])).await
}

async fn program(command: &mut Command) -> Vec<u16> {
    let output = run(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}\n{said}"))
}

/// curl has no other way to keep a form than a body that was written to a file.
async fn curl(mode: Mode, url: &str) -> Vec<u16> {
    let folder = tempfile::tempdir().expect("a temporary directory can be made");
    std::fs::write(folder.path().join("receipt.pdf"), "%PDF-1.7 receipt").expect("a file can be written");
    let form = ["-F", "amount=12.00", "-F", "receipt=@receipt.pdf;type=application/pdf"];
    match mode {
        Mode::Anew => vec![call_curl(&folder, &form, url).await, call_curl(&folder, &form, url).await],
        Mode::Retried => {
            let retried = [&form[..], &["--retry", "2", "--retry-all-errors"]].concat();
            vec![call_curl(&folder, &retried, url).await]
        }
        Mode::Once => {
            let body = "--8e03\r\nContent-Disposition: form-data; name=\"amount\"\r\n\r\n12.00\r\n--8e03\r\n\
                        Content-Disposition: form-data; name=\"receipt\"; filename=\"receipt.pdf\"\r\n\
                        Content-Type: application/pdf\r\n\r\n%PDF-1.7 receipt\r\n--8e03--\r\n";
            std::fs::write(folder.path().join("form"), body).expect("a file can be written");
            let file = ["-H", "Content-Type: multipart/form-data; boundary=8e03", "--data-binary", "@form"];
            vec![call_curl(&folder, &file, url).await, call_curl(&folder, &file, url).await]
        }
    }
}

async fn call_curl(folder: &TempDir, arguments: &[&str], url: &str) -> u16 {
    let mut command = Command::new(toolbox::curl());
    command.args(["-sS", "-o", "answer", "-w", "%{http_code}", "-H", &format!("Idempotency-Key: {KEY}")]);
    let output = run(command.args(arguments).arg(url).current_dir(folder.path() as &Path)).await;
    String::from_utf8_lossy(&output.stdout).parse().unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn form() -> Form {
    let receipt = Part::bytes(&b"%PDF-1.7 receipt"[..]).file_name("receipt.pdf");
    Form::new().text("amount", "12.00").part("receipt", receipt)
}

async fn reqwest(mode: Mode, url: &str) -> Result<Vec<u16>, String> {
    let build = || reqwest::Client::new().post(url).header("idempotency-key", KEY).multipart(form()).build();
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let mut statuses = Vec::new();
    match mode {
        Mode::Retried => {
            let request = build().map_err(|error| told(&error))?;
            let answer = client().execute(request).await.map_err(|error| told(&error))?;
            statuses.push(answer.status().as_u16());
        }
        Mode::Anew => {
            for _ in 0..2 {
                let request = build().map_err(|error| told(&error))?;
                let answer = reqwest::Client::new().execute(request).await.map_err(|error| told(&error))?;
                statuses.push(answer.status().as_u16());
            }
        }
        Mode::Once => {
            let request = buffer(build().map_err(|error| told(&error))?).await.map_err(|error| told(&error))?;
            for _ in 0..2 {
                let again = request.try_clone().ok_or("a request in memory can be cloned")?;
                let answer = client().execute(again).await.map_err(|error| told(&error))?;
                statuses.push(answer.status().as_u16());
            }
        }
    }
    Ok(statuses)
}

/// All clients at the same time.
async fn upload_with_each(mode: Mode, path: &'static str) -> Vec<(Client, Uploaded)> {
    let running = ALL.map(|client| (client, tokio::spawn(upload(client, mode, path, &[]))));
    let mut uploads = Vec::new();
    for (client, upload) in running {
        uploads.push((client, upload.await.unwrap_or_else(|_| panic!("not with {client:?}"))));
    }
    uploads
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_made_anew_is_another_request() {
    for (client, uploaded) in upload_with_each(Mode::Anew, "/uploads").await {
        assert_eq!(uploaded.statuses, [201, 422], "{client:?}");
        assert!(!uploaded.is_same_request() && uploaded.effects == 1, "{client:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_encoded_once_is_the_same_request() {
    for (client, uploaded) in upload_with_each(Mode::Once, "/uploads").await {
        assert_eq!(uploaded.statuses, [201, 201], "{client:?}");
        assert!(uploaded.is_same_request() && uploaded.effects == 1 && uploaded.ends_with_a_replay(), "{client:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fingerprint_of_the_fields_recognises_a_form_that_is_made_anew() {
    for (client, uploaded) in upload_with_each(Mode::Anew, "/uploads/by-field").await {
        assert_eq!(uploaded.statuses, [201, 201], "{client:?}");
        assert!(!uploaded.is_same_request() && uploaded.effects == 1 && uploaded.ends_with_a_replay(), "{client:?}");
    }
}

/// Where the client sends it again within one call, it depends on the client. fetch never does.
#[tokio::test(flavor = "multi_thread")]
async fn whether_a_clients_own_retry_keeps_the_boundary() {
    for (client, keeps) in [(Client::Curl, true), (Client::Requests, true), (Client::Axios, false)] {
        let uploaded = upload(client, Mode::Retried, "/uploads", &[LoseAnswer]).await;
        assert_eq!(uploaded.tries.len(), 2, "{client:?}: {:?}", uploaded.statuses);
        assert_eq!(uploaded.is_same_request(), keeps, "{client:?}: {:?}", uploaded.statuses);
        assert_eq!((uploaded.statuses, uploaded.effects), (vec![if keeps { 201 } else { 422 }], 1), "{client:?}");
    }
}

/// Its retry announces the form and has nothing left to send: the service waits for a body that never comes.
#[tokio::test(flavor = "multi_thread")]
async fn gots_own_retry_of_a_form_runs_into_its_timeout() {
    let uploaded = upload(Client::Got, Mode::Retried, "/uploads", &[LoseAnswer]).await;
    assert_eq!((uploaded.statuses, uploaded.tries.len(), uploaded.effects), (vec![0], 1, 1));
}

#[tokio::test]
async fn reqwest_retry_refuses_a_form_before_it_is_sent() {
    let till = Till::start(&[]).await;
    let wire = Wire::before(till.address(), &[]).await;
    let refused = reqwest(Mode::Retried, &format!("{}/uploads", wire.url())).await.expect_err("it cannot be cloned");
    assert!(refused.contains("not cloneable"), "{refused}");
    assert!(wire.tries().is_empty());
}

//! The runbook of the page: each command as it stands there says what stands below it.

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use cratestack_runtime::records::Principal;
use cratestack_runtime::schema::TableName;
use serde_json::Value;
use sqlx::SqlitePool;

use crate::command::{cratestack_schema, executable};
use crate::databases::sqlite;

const PAGE: &str = include_str!("../../../docs/operations.md");

const MINUTE: i64 = 60_000;

/// A row of the table; times are minutes before now.
struct Row {
    principal: String,
    key: &'static str,
    status: Option<i64>,
    reserved: i64,
    lease_ended: Option<i64>,
    attempt: i64,
}

impl Row {
    fn new(principal: String, key: &'static str, reserved: i64) -> Self {
        Self { principal, key, status: None, reserved, lease_ended: None, attempt: 1 }
    }

    fn finished(self, status: i64) -> Self {
        Self { status: Some(status), ..self }
    }

    async fn insert(self, pool: &SqlitePool, now: i64) {
        let at = |minutes: i64| now - minutes * MINUTE;
        let body: Option<&[u8]> = self.status.map(|_| &b"{}"[..]);
        sqlx::query(
            "INSERT INTO cratestack_idempotency VALUES
            (?, ?, ?, randomblob(16), ?, NULL, ?, ?, ?, ?, ?, NULL, NULL)",
        )
        .bind(self.principal)
        .bind(self.key)
        .bind(&[7; 32][..])
        .bind(self.status)
        .bind(body)
        .bind(at(self.reserved))
        .bind(at(self.reserved - 24 * 60))
        .bind(self.lease_ended.map(at))
        .bind(self.attempt)
        .execute(pool)
        .await
        .unwrap();
    }
}

/// Words as they are however lines are broken, and every moment as one word.
fn words(text: &str) -> Vec<String> {
    let is_moment = |word: &str| word.len() == 24 && word.starts_with("20") && word.ends_with('Z');
    text.split_whitespace()
        .map(|word| {
            let (name, value) = word.split_once('=').map_or(("", word), |(name, value)| (name, value));
            if is_moment(value) { format!("{name}=<moment>") } else { word.to_owned() }
        })
        .collect()
}

/// Each command of the page, and what stands below it.
fn commands() -> Vec<(&'static str, String)> {
    let mut commands: Vec<(&str, String)> = Vec::new();
    for block in PAGE.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```").unwrap();
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                commands.push((command, String::new()));
            } else if let Some((_, said)) = commands.last_mut().filter(|_| block.starts_with("$ ")) {
                said.push_str(line);
                said.push('\n');
            }
        }
    }
    commands
}

#[tokio::test]
async fn the_runbook_says_what_the_commands_say() {
    let (folder, pool, store) = sqlite(TableName::default()).await;
    store.migrate().await.unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let now = i64::try_from(now).unwrap();
    let (client, customer) = (Principal::authorization("Bearer sk_test_123"), Principal::part(&42_u64));
    let within = |principal: &Principal| format!("payments\u{2192}{}", principal.as_str());
    let stuck = Row::new(within(&client), "8e03978e-40d5-43dd-bc93-6894a57f9324", 12);
    for row in [
        Row { lease_ended: Some(10), attempt: 2, ..stuck },
        Row { lease_ended: Some(-60), ..Row::new(within(&client), "order-8", 7) },
        Row::new(within(&client), "order-7", 30).finished(500),
        Row::new(within(&customer), "order-1", 50).finished(201),
        Row::new(customer.as_str().to_owned(), "order-1", 40).finished(201),
    ] {
        row.insert(&pool, now).await;
    }
    let commands = commands();
    assert_eq!(commands.len(), 7, "has the page changed its form?");
    for (command, said) in commands {
        let path = executable().parent().unwrap().display().to_string();
        let output = Command::new("sh")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(folder.path())
            .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()))
            .env("DATABASE_URL", "sqlite:test.db")
            .output()
            .unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(words(&told), words(&said), "{command} says\n{told}");
    }
}

#[tokio::test]
async fn the_page_lists_every_member_of_the_json() {
    let (folder, pool, store) = sqlite(TableName::default()).await;
    store.migrate().await.unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for key in ["a", "b"] {
        for principal in ["p", "orders\u{2192}p"] {
            Row::new(principal.to_owned(), key, 1).finished(200).insert(&pool, now).await;
        }
    }
    let url = format!("sqlite:{}", folder.path().join("test.db").display());
    let (_, section) = PAGE.split_once("## JSON").unwrap();
    for arguments in [
        &["show", "--key", "a", "--no-namespace", "--names", "--response"][..],
        &["list", "--state", "any", "--limit", "1"],
        &["release", "--key", "a"],
        &["forget", "--key", "a", "--no-namespace", "--yes"],
        &["forget", "--principal", "p"],
        &["check"],
        &["stats"],
    ] {
        let done = cratestack_schema(&[arguments, &["--json", "--database-url", &url]].concat());
        let value: Value = serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr));
        let mut members: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        if let Some(principal) = value["principals"].get(0) {
            members.extend(principal.as_object().unwrap().keys().cloned());
        }
        assert!(members.len() > 4, "{members:?}");
        for member in members {
            // `reason` stands there with its value.
            let is_listed = section.contains(&format!("`{member}`")) || section.contains(&format!("`{member}: "));
            assert!(is_listed, "{arguments:?} has a member `{member}` that the page does not list");
        }
    }
}

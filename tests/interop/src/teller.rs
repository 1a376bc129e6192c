//! The store of the version before this one, asked line by line: it is built in the workspace of that version, into
//! whose `src/bin` it is put.
//!
//! `reserve <a byte of the hash> <lease, ms> <retention, ms>`, `renew <token> <lease, ms>`, `finish <token>`,
//! `release <token>`, `sweep`, `release-by-operator`, `forget-by-operator`: each for the one key, with one line for an
//! answer.

use std::error::Error;
use std::io::BufRead as _;
use std::time::Duration;

use bytes::Bytes;
use cratestack_runtime::records::{IfRunning, Removal};
use cratestack_runtime::{Claim, ClaimOutcome, Completion, IdempotencyStore, PostgresStore};
use sqlx::types::Uuid;

const PRINCIPAL: &str = "p";
const KEY: &str = "k";
const DAY: Duration = Duration::from_secs(86_400);

async fn answer(store: &PostgresStore, line: &str) -> Result<String, Box<dyn Error>> {
    let words: Vec<_> = line.split_whitespace().collect();
    let millis = |word: &str| word.parse().map(Duration::from_millis);
    Ok(match *words {
        ["reserve", byte, lease, retention] => {
            let request_hash = [byte.parse()?; 32];
            let (lease, retention) = (millis(lease)?, millis(retention)?);
            let claim = Claim { principal: PRINCIPAL, key: KEY, request_hash, lease, retention };
            match store.reserve(claim).await? {
                ClaimOutcome::Reserved { token, attempt } => format!("reserved {token} {attempt}"),
                ClaimOutcome::Replay(_) => "replay".to_owned(),
                ClaimOutcome::InFlight => "in-flight".to_owned(),
                ClaimOutcome::Conflict => "conflict".to_owned(),
            }
        }
        ["renew", token, lease] => {
            let renewed = store.renew(PRINCIPAL, KEY, Uuid::parse_str(token)?, millis(lease)?, DAY).await?;
            format!("{renewed:?}")
        }
        ["finish", token] => {
            let (token, body) = (Uuid::parse_str(token)?, Bytes::from_static(b"previous"));
            let completion = Completion { principal: PRINCIPAL, key: KEY, token, status: 201, headers: &[], body: &body };
            format!("{:?}", store.finish(completion).await?)
        }
        ["release", token] => {
            store.release(PRINCIPAL, KEY, Uuid::parse_str(token)?).await?;
            "released".to_owned()
        }
        ["sweep"] => store.sweep(100).await?.to_string(),
        ["release-by-operator"] => {
            format!("{:?}", store.remove(PRINCIPAL, KEY, Removal::release(IfRunning::Refuse)).await?)
        }
        ["forget-by-operator"] => format!("{:?}", store.remove(PRINCIPAL, KEY, Removal::forget(IfRunning::Refuse)).await?),
        _ => return Err(format!("no such question: {line}").into()),
    })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let store = PostgresStore::new(sqlx::PgPool::connect(&std::env::var("DATABASE_URL")?).await?);
    for line in std::io::stdin().lock().lines() {
        println!("{}", answer(&store, &line?).await?);
    }
    Ok(())
}

#![deny(warnings)]

use axum::Json;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::{Router, routing::post};
use cratestack_runtime::{Idempotency, idempotent};

#[derive(serde::Deserialize)]
struct CreatePayment {
    id: String,
    amount: u64,
    lines: Vec<u32>,
}

const DIGITS: usize = 3;

fn tenant(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-tenant")?.to_str().ok()
}

#[idempotent(
    key = (req.id, id),
    principal = tenant(&headers),
    fingerprint = {
        let mut total = req.amount;
        for line in &req.lines {
            if *line == 0 {
                continue;
            }
            total += u64::from(*line);
        }
        let first = 'found: {
            if let Some(first) = req.lines.first() {
                break 'found *first;
            }
            0
        };
        (total, first, req.lines.iter().map(|line| line + 1).collect::<Vec<_>>(), &req.id[..DIGITS.min(req.id.len())])
    }
)]
async fn pay(Path(id): Path<u64>, headers: HeaderMap, Json(mut req): Json<CreatePayment>) -> String {
    req.amount += 1;
    format!("{id} {} {} {}", headers.len(), req.id, req.amount)
}

fn main() {
    let _: Router<Idempotency> = Router::new().route("/0", post(pay));
}

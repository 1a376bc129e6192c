//! What larger outcomes cost, and what it is worth how the server keeps them.

use std::sync::Arc;

use bytes::Bytes;

use super::store::{our_store, their_store};
use crate::Fallible;
use crate::figure::{Figure, Limit, Measure};
use crate::sample::Quantity;
use crate::server::{Ours, Theirs};

const KIB: usize = 1024;

/// What a body consists of.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// Letters at random, which none of the server's methods makes shorter.
    Noise,
    /// A list of payments, as an API answers.
    Json,
}

pub const KINDS: [Kind; 2] = [Kind::Noise, Kind::Json];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Json => "json",
        }
    }

    pub fn of(self, size: usize) -> Bytes {
        let mut body = String::with_capacity(size + 256);
        while body.len() < size {
            let id = uuid::Uuid::new_v4();
            match self {
                Self::Noise => body.push(char::from(b'a' + id.as_bytes()[0] % 26)),
                Self::Json => {
                    let separator = if body.is_empty() { '[' } else { ',' };
                    let amount = id.as_u128() % 100_000;
                    body.push_str(&format!(
                        "{separator}{{\"id\":\"{id}\",\"amount\":{amount},\"currency\":\"EUR\",\
                         \"status\":\"settled\",\"customer\":{{\"id\":\"cus_{customer:08x}\",\"country\":\"DE\"}},\
                         \"created_at\":\"2026-03-{day:02}T12:{minute:02}:{second:02}Z\"}}",
                        customer = id.as_fields().0,
                        day = amount % 28 + 1,
                        minute = amount / 28 % 60,
                        second = amount / 1_680 % 60,
                    ));
                }
            }
        }
        body.truncate(size);
        Bytes::from(body)
    }
}

/// The same table, whose column of bodies is kept in another way.
pub async fn of_storage(ours: Ours, clause: &str) -> Fallible<Arc<Ours>> {
    ours.execute(&format!("ALTER TABLE cratestack_idempotency ALTER COLUMN response_body SET {clause}")).await?;
    Ok(Arc::new(ours))
}

pub async fn bodies(ours: &Arc<Ours>, theirs: &Arc<Theirs>) -> Fallible<Vec<Figure>> {
    let pglz = of_storage(ours.another().await?, "COMPRESSION pglz").await?;
    let lz4 = of_storage(ours.another().await?, "COMPRESSION lz4").await?;
    let external = of_storage(ours.another().await?, "STORAGE EXTERNAL").await?;
    let figure = |size: usize, kind: Kind, callers: usize, least: Option<f64>| {
        let body = kind.of(size);
        let variant = |name, at: &Arc<Ours>| our_store(name, Arc::clone(at), true, &body);
        Figure {
            name: format!("body-{size}-{}-{callers}", kind.name()),
            title: format!("reserve + complete with a body of {size} bytes ({}), callers: {callers}", kind.name()),
            callers,
            rate: None,
            contenders: vec![
                our_store("ours", Arc::clone(ours), true, &body),
                their_store(Arc::clone(theirs), &body),
                variant("ours, pglz", &pglz),
                variant("ours, lz4", &lz4),
                variant("ours, not compressed", &external),
            ],
            measures: vec![
                Measure::ratio(Quantity::Throughput, least.map(Limit::AtLeast)),
                Measure::ratio(Quantity::P99, None),
                Measure::ratio(Quantity::ServerCpu, None),
                Measure::ratio(Quantity::Throughput, None).against(2),
                Measure::ratio(Quantity::Throughput, None).against(3),
                Measure::ratio(Quantity::Throughput, None).against(4),
            ],
        }
    };
    let mut figures = vec![figure(0, Kind::Noise, 16, None), figure(KIB, Kind::Noise, 16, None)];
    for kind in KINDS {
        figures.extend([
            figure(16 * KIB, kind, 16, Some(1.3)),
            figure(16 * KIB, kind, 64, None),
            figure(256 * KIB, kind, 16, None),
            figure(256 * KIB, kind, 64, None),
        ]);
    }
    Ok(figures)
}

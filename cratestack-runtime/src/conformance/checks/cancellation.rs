use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::super::bench::{A, Answer, Bench, Checked, LONG, Way, describe, ensure};
use super::super::rng::Rng;
use crate::store::ReservationOutcome::{InFlight, Replay};

const KEYS: usize = 32;

/// How far a call gets before its caller hangs up.
#[derive(Clone, Copy)]
enum Patience {
    Polls(usize),
    Time(Duration),
}

impl Patience {
    fn random(rng: &mut Rng) -> Self {
        if rng.chance(60) { Self::Polls(rng.below(16)) } else { Self::Time(Duration::from_micros(rng.next() % 2000)) }
    }

    async fn run<T>(self, call: impl Future<Output = T>) -> Option<T> {
        let mut polls = match self {
            Self::Time(time) => return timeout(time, call).await.ok(),
            Self::Polls(polls) => polls,
        };
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            if polls == 0 {
                return Poll::Ready(None);
            }
            polls -= 1;
            match call.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                Poll::Pending if polls == 0 => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// Each of the first polls surely, since that is where most calls wait; the rest at random.
fn patiences(bench: &Bench) -> Vec<Patience> {
    let mut rng = Rng::new(bench.suite.seed);
    (0..8).map(Patience::Polls).chain((8..KEYS).map(|_| Patience::random(&mut rng))).collect()
}

pub(super) async fn dropped_reservation_leaves_the_key_usable(bench: Bench) -> Checked {
    let patiences = patiences(&bench);
    let call = |bench: Bench, n: usize| {
        let patience = patiences[n];
        async move {
            let key = format!("key {n}");
            let lives = bench.units(2);
            // Where there are leases, it is the lease that has to free the key; without, the whole reservation.
            if bench.way == Way::Extended && bench.leases {
                patience.run(bench.reserve(&key, A, lives, LONG)).await.transpose()?;
            } else {
                patience.run(bench.claim(&key, A, lives)).await.transpose()?;
            }
            let token = bench.take_within(30, &key, "a reservation was dropped, and long after its lease").await?;
            bench
                .freeze(&key, token, &Answer::new(200, &key), "a key that was used after a dropped reservation")
                .await
                .map(drop)
        }
    };
    bench.rush(KEYS, call).await.map(drop)
}

pub(super) async fn dropped_completion_can_be_repeated(bench: Bench) -> Checked {
    let patiences = patiences(&bench);
    let call = |bench: Bench, n: usize| {
        let patience = patiences[n];
        async move {
            let key = format!("key {n}");
            let token = bench.take(&key, A, LONG, "a fresh key").await?;
            let answer = Answer::new(200, &"x".repeat(10_000));
            patience.run(bench.record(&key, token, &answer)).await.transpose()?;
            match bench.claim(&key, A, LONG).await? {
                InFlight => {}
                Replay(record) => ensure!(answer.is_in(&record), "a dropped completion recorded a part of its outcome"),
                other => ensure!(false, "a completion was dropped, and its key is {}", describe(&other)),
            }
            bench.freeze(&key, token, &answer, "a completion repeated after a dropped one").await.map(drop)
        }
    };
    bench.rush(KEYS, call).await.map(drop)
}

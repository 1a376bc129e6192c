//! What customers do: they ask until they know, at one service after the other.

use std::{sync::Arc, time::Duration};

use cratestack_tests::{
    Answer,
    fleet::{Recorded, Rng},
};
use http::StatusCode;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{World, check::Bought};

/// Far more than a lease and the start of a server take; a purchase may be killed more than once.
const PATIENCE: Duration = Duration::from_mins(5);
/// A service that was stopped does not answer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(4);

#[derive(Debug, Clone)]
pub struct Purchase {
    pub key: String,
    pub amount: i64,
    pub declined: bool,
    path: &'static str,
    body: Value,
}

impl Purchase {
    fn new(rng: &mut Rng, key: String) -> Self {
        let (amount, declined) = (1 + i64::try_from(rng.below(9)).unwrap(), rng.chance(8));
        let trouble = rng.pick(&[None, None, None, None, None, None, Some("error"), Some("panic")]);
        let trouble = trouble.map(|trouble| (1 + rng.below(3), trouble));
        let pauses = [(); 5].map(|()| rng.milliseconds(12));
        let body = json!({"key": key, "amount": amount, "pauses": pauses, "declined": declined, "trouble": trouble});
        Self { key, amount, declined, path: rng.pick(&["/steps/purchases", "/steps/waiting"]), body }
    }
}

/// One purchase, by as many clients at once as there may be; each must get the same.
pub async fn buy(world: &Arc<World>, rng: &mut Rng, key: String) -> Result<Bought, String> {
    let purchase = Purchase::new(rng, key);
    let begun = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..rng.pick(&[1, 1, 2, 3]) {
        let (world, purchase, mut rng) = (Arc::clone(world), purchase.clone(), Rng::new(rng.any()));
        clients.spawn(async move {
            sleep(Duration::from_millis(rng.milliseconds(20))).await;
            insist(&world, &mut rng, &purchase).await
        });
    }
    let mut outcomes = Vec::new();
    while let Some(outcome) = clients.join_next().await {
        outcomes.push(outcome.unwrap()?);
    }
    // Whoever asks once more is told the same.
    let again = insist(world, rng, &purchase).await?;
    let recorded = Recorded::told(&again);
    let exactly = again.is_replay() && outcomes.iter().all(|outcome| Recorded::told(outcome) == recorded);
    // An outcome that cannot be written is told nevertheless. Where its process dies as well, the next run skips every
    // step, and so it comes to the same, by another run.
    let unsettled = world.report.store_was_away_since(begun);
    let alike = outcomes.iter().all(|outcome| without_run(&Recorded::told(outcome)) == without_run(&recorded));
    if !(exactly || unsettled && alike) {
        let lines = world.ledger.lines_of(&purchase.key);
        return Err(format!(
            "clients were told different things: {purchase:#?}\n{outcomes:#?}\n{again:#?}\n{lines:#?}"
        ));
    }
    world.report.purchased(begun.elapsed());
    world.report.settled(exactly);
    Ok(Bought { purchase, recorded, unsettled })
}

/// An outcome, whichever run told it.
pub fn without_run(recorded: &Recorded) -> Recorded {
    let mut recorded = recorded.clone();
    recorded.headers.remove("x-run");
    recorded
}

async fn insist(world: &World, rng: &mut Rng, purchase: &Purchase) -> Result<Answer, String> {
    let since = Instant::now();
    loop {
        let client = {
            let services = world.services.read().await;
            services[usize::try_from(rng.below(services.len() as u64)).unwrap()]
        };
        let patience = if rng.chance(5) { Duration::from_millis(rng.milliseconds(60)) } else { ANSWERS_WITHIN };
        let request = client.post(purchase.path).key(&purchase.key).header("authorization", "Bearer teller");
        match request.json(&purchase.body).hang_up_after(patience).await {
            Ok(Some(answer)) if answer.headers.contains_key("x-run") => {
                let expected = if purchase.declined { StatusCode::PAYMENT_REQUIRED } else { StatusCode::CREATED };
                if answer.status != expected {
                    return Err(format!("an outcome that no run of this purchase has: {purchase:#?}\n{answer:#?}"));
                }
                return Ok(answer);
            }
            Ok(Some(answer)) => world.report.not_yet(&why(purchase, &answer)?),
            Ok(None) => world.report.not_yet("hung up"),
            Err(_) => world.report.not_yet("no connection, or a cut one"),
        }
        if since.elapsed() > PATIENCE {
            return Err(format!("stuck: no outcome within {PATIENCE:?}: {purchase:#?}"));
        }
        sleep(Duration::from_millis(rng.between(20, 120))).await;
    }
}

/// Why this is no outcome. A client asks again after each of these.
fn why(purchase: &Purchase, answer: &Answer) -> Result<String, String> {
    const PASSING: [&str; 5] = [
        "idempotency_request_in_flight",
        "idempotency_store_unavailable",
        "idempotency_reservation_lost",
        "idempotency_handler_panicked",
        "idempotency_overloaded",
    ];
    match answer.header("x-unfinished") {
        Some("defect") => Err(format!("a step has failed: {purchase:#?}\n{answer:#?}")),
        Some(why) => Ok(format!("unfinished: {why}")),
        None if PASSING.contains(&&*answer.code()) => Ok(answer.code()),
        None => Err(format!("neither an outcome nor for the moment: {purchase:#?}\n{answer:#?}")),
    }
}

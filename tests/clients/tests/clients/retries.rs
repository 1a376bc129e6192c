//! Each client, each trouble: with the page's settings there is one effect and its caller is told; without them, what the
//! table says.

use std::time::Duration;

use crate::facts::{self, Facts};
use crate::programs::{Client, Mode, run};
use crate::stage::{KEY, Stage};
use crate::till::Till;
use crate::toolbox;
use crate::wire::Trouble::{
    BadGateway, BreakAnswer, Busy, Crash, LoseAnswer, LoseWhileRunning, MeetRunning, Panic, Pass, Silence,
};
use crate::wire::Wire;

/// All clients at the same time: most of it is waiting.
async fn of_each<F: Future<Output = ()> + Send + 'static>(scenario: fn(Client) -> F) {
    let running = facts::ALL.map(|Facts { client, .. }| (client, tokio::spawn(scenario(client))));
    let mut failed = Vec::new();
    for (client, run) in running {
        // What is wrong was printed by the panic.
        if run.await.is_err() {
            failed.push(client);
        }
    }
    assert!(failed.is_empty(), "not with {failed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_replayed() {
    of_each(a_lost_answer_is_replayed_of).await;
}

async fn a_lost_answer_is_replayed_of(client: Client) {
    let outcome = Stage::service(client, &[LoseAnswer]).await.pay(Mode::Safe).await;
    outcome.assert_paid_once();
    outcome.assert_ends_with_a_replay();
    assert_eq!(outcome.tries.len(), 2, "{outcome:?}");
    let key = outcome.tries[0].key.as_deref().expect("a key").trim_matches('"');
    assert_eq!(key, KEY, "the key is the caller's");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off() {
    of_each(an_answer_that_breaks_off_of).await;
}

async fn an_answer_that_breaks_off_of(client: Client) {
    let stage = Stage::service(client, &[BreakAnswer]).await;
    let mut outcome = stage.pay(Mode::Safe).await;
    assert_eq!(outcome.resent(), facts::of(client).resends_broken, "{outcome:?}");
    if !outcome.resent() {
        // Its caller is told that it failed, and calls again with the same key and bytes.
        assert!(outcome.told.error.is_some(), "{outcome:?}");
        outcome = stage.pay(Mode::Safe).await;
    }
    outcome.assert_paid_once();
    outcome.assert_ends_with_a_replay();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timeout_of_ones_own_is_no_end() {
    of_each(a_timeout_of_ones_own_is_no_end_of).await;
}

async fn a_timeout_of_ones_own_is_no_end_of(client: Client) {
    let outcome = Stage::service(client, &[Silence]).await.pay_within(Mode::Safe, 2).await;
    outcome.assert_paid_once();
    outcome.assert_ends_with_a_replay();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_503_is_sent_again_when_it_says() {
    of_each(a_503_is_sent_again_when_it_says_of).await;
}

async fn a_503_is_sent_again_when_it_says_of(client: Client) {
    // Who does not read it is back long before five minutes are over, or this test does not end.
    let honours = facts::of(client).honours_retry_after;
    let outcome = Stage::service(client, &[Busy(if honours { 2 } else { 300 })]).await.pay(Mode::Safe).await;
    outcome.assert_paid_once();
    assert_eq!(outcome.tries.len(), 2, "{outcome:?}");
    if honours {
        assert!(outcome.pause() >= Duration::from_secs(2), "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_first_is_asked_for_until_it_is_done() {
    of_each(a_running_first_is_asked_for_until_it_is_done_of).await;
}

async fn a_running_first_is_asked_for_until_it_is_done_of(client: Client) {
    let outcome = Stage::till(client, false, &[LoseWhileRunning]).await.pay(Mode::Safe).await;
    outcome.assert_paid_once();
    outcome.assert_ends_with_a_replay();
    assert_eq!(outcome.statuses()[..2], [None, Some(409)], "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_first_is_waited_for() {
    of_each(a_running_first_is_waited_for_of).await;
}

async fn a_running_first_is_waited_for_of(client: Client) {
    let outcome = Stage::till(client, true, &[LoseWhileRunning, MeetRunning]).await.pay(Mode::Safe).await;
    outcome.assert_paid_once();
    outcome.assert_ends_with_a_replay();
    assert_eq!(outcome.tries.len(), 2, "{outcome:?}");
}

/// What `wait` is for: no retries, and no setting at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_retries_gets_the_outcome_of_a_running_first_by_wait() {
    of_each(a_client_without_retries_gets_the_outcome_of_a_running_first_by_wait_of).await;
}

async fn a_client_without_retries_gets_the_outcome_of_a_running_first_by_wait_of(client: Client) {
    if client.is_stripe() {
        // Its bare self makes a key of its own, and so never meets another's request: with one, it is tested above.
        return;
    }
    let stage = Stage::till(client, true, &[MeetRunning]).await;
    let first = stage.hold_a_first().await;
    let outcome = stage.pay(Mode::Bare).await;
    assert_eq!(first.await.expect("the first ends").status, 201);
    outcome.assert_paid_once();
    outcome.assert_ends_with_a_replay();
    assert_eq!(outcome.tries.len(), 1, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_commit_is_one_effect() {
    of_each(a_crash_before_the_commit_is_one_effect_of).await;
}

async fn a_crash_before_the_commit_is_one_effect_of(client: Client) {
    let outcome = Stage::transaction(client, &[Crash, BadGateway]).await.pay(Mode::Safe).await;
    outcome.assert_paid_once();
    assert_eq!(outcome.tries.len(), 3, "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_second_effect_for_who_sends_a_500_again() {
    of_each(a_panic_is_a_second_effect_for_who_sends_a_500_again_of).await;
}

async fn a_panic_is_a_second_effect_for_who_sends_a_500_again_of(client: Client) {
    let facts = facts::of(client);
    let (plain, safe) =
        tokio::join!(async { Stage::till(client, false, &[Panic]).await.pay(Mode::Plain).await }, async {
            Stage::till(client, false, &[Panic]).await.pay(Mode::Safe).await
        },);
    for (outcome, resends) in [(plain, facts.resends_500), (safe, facts.settings_resend_500)] {
        outcome.assert_same_request();
        assert_eq!((outcome.statuses()[0], outcome.resent()), (Some(500), resends), "{outcome:?}");
        // The till's handler in Stripe's dialect is a transaction, and what the panic left of the first run is nothing.
        assert_eq!(outcome.effects, if client.is_stripe() { 1 } else { outcome.tries.len() }, "{outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_does_by_itself() {
    of_each(what_it_does_by_itself_of).await;
}

async fn what_it_does_by_itself_of(client: Client) {
    let facts = facts::of(client);
    let (bare, lost, busy, silent) = tokio::join!(
        async { Stage::service(client, &[LoseAnswer]).await.pay(Mode::Bare).await },
        async { Stage::service(client, &[LoseAnswer]).await.pay(Mode::Plain).await },
        async { Stage::service(client, &[Busy(1)]).await.pay(Mode::Plain).await },
        async { Stage::service(client, &[Silence]).await.pay_within(Mode::Plain, 1).await },
    );
    for outcome in [&bare, &lost, &busy, &silent] {
        outcome.assert_same_request();
        assert!(outcome.effects <= 1, "{outcome:?}");
    }
    // Not of the one with a short timeout, which a busy machine may run into again.
    for outcome in [&bare, &lost, &busy] {
        let succeeded = outcome.told.error.is_none() && outcome.told.status < Some(300);
        assert_eq!(succeeded, outcome.resent(), "{outcome:?}");
    }
    assert_eq!(
        [bare.resent(), lost.resent(), busy.resent(), silent.resent()],
        [facts.bare_resends, facts.resends_lost, facts.resends_503, facts.resends_timeout],
        "{client:?}: bare, a lost answer, 503, a timeout"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_does_with_a_running_first() {
    of_each(what_it_does_with_a_running_first_of).await;
}

async fn what_it_does_with_a_running_first_of(client: Client) {
    let (outcome, met) = if client.is_stripe() {
        // It makes the key itself, so the first is its own.
        (Stage::till(client, false, &[LoseWhileRunning]).await.pay(Mode::Plain).await, 1)
    } else {
        let stage = Stage::till(client, false, &[]).await;
        let first = stage.hold_a_first().await;
        let outcome = stage.pay(Mode::Plain).await;
        assert_eq!(first.await.expect("the first ends").status, 201);
        (outcome, 0)
    };
    outcome.assert_same_request();
    assert_eq!(outcome.statuses()[met], Some(409), "{outcome:?}");
    assert_eq!(outcome.tries.len() > met + 1, facts::of(client).resends_409, "{outcome:?}");
}

/// Without being told to retry: where a connection that was kept breaks before a byte of the answer, curl takes it for
/// one that had gone stale.
#[tokio::test(flavor = "multi_thread")]
async fn curl_sends_a_post_again_when_a_kept_connection_breaks() {
    let till = Till::start(&[]).await;
    let wire = Wire::before(till.address(), &[Pass, LoseAnswer]).await;
    let mut curl = tokio::process::Command::new(toolbox::curl());
    for key in ["first", "second"] {
        // `--next` before the first does nothing.
        curl.args([
            "--next",
            "-sS",
            "-d",
            r#"{"amount":1200,"currency":"EUR"}"#,
            "-H",
            "Content-Type: application/json",
        ]);
        curl.arg("-H").arg(format!("Idempotency-Key: {key}")).arg(format!("{}/payments", wire.url()));
    }
    let output = run(&mut curl).await;
    assert!(output.status.success(), "{output:?}");
    let keys: Vec<_> = wire.tries().into_iter().filter_map(|attempt| attempt.key).collect();
    assert_eq!((keys, till.effects().await), (["first", "second", "second"].map(str::to_owned).to_vec(), 2));
}

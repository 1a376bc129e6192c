use std::time::Duration;

use super::*;

fn claim(request: u8) -> Arc<OwnedClaim> {
    let minute = Duration::from_mins(1);
    Arc::new(OwnedClaim { id: RecordId::new("p", "k"), request_hash: [request; 32], lease: minute, retention: minute })
}

fn turn(presence: &mut EntryGuard) -> KeyTurn {
    match presence.look() {
        (_, Look::Turn(turn)) => turn,
        (_, other) => panic!("{other:?}"),
    }
}

fn known(presence: &mut EntryGuard) -> Known {
    match presence.look() {
        (_, Look::Known(known)) => known,
        (_, other) => panic!("{other:?}"),
    }
}

fn record(request: u8) -> Arc<IdempotencyRecord> {
    Arc::new(IdempotencyRecord {
        key: "k".to_owned(),
        principal_fingerprint: "p".to_owned(),
        request_hash: [request; 32],
        response_status: 201,
        response_headers: Vec::new(),
        response_body: Vec::new(),
        created_at: std::time::SystemTime::UNIX_EPOCH,
        expires_at: std::time::SystemTime::UNIX_EPOCH,
    })
}

#[test]
fn one_asks_and_while_its_work_runs_nobody_does() {
    let keys: Arc<LocalKeys> = Arc::default();
    let (mut first, mut same, mut other) = (keys.enter(&claim(1)), keys.enter(&claim(1)), keys.enter(&claim(2)));
    let asking = turn(&mut first);
    assert!(matches!(same.look().1, Look::Asking) && matches!(other.look().1, Look::Asking));
    asking.set_running();
    assert!(matches!(known(&mut same), Known::InFlight { here: true }));
    assert!(matches!(known(&mut other), Known::Conflict));
    asking.set_pending(record(1));
    assert!(matches!(known(&mut same), Known::Replay(_)));
    assert!(matches!(known(&mut other), Known::Conflict));
    drop(asking);
    drop(turn(&mut other));
}

/// An outcome that waits to be written is answered from when its caller has long gone.
#[test]
fn a_turn_outlives_its_request() {
    let keys: Arc<LocalKeys> = Arc::default();
    let mut first = keys.enter(&claim(1));
    let pending = turn(&mut first);
    pending.set_pending(record(1));
    drop(first);
    assert!(matches!(known(&mut keys.enter(&claim(1))), Known::Replay(_)));
    drop(pending);
    assert!(keys.shards.iter().all(|shard| shard.lock().unwrap().is_empty()), "and leaves nothing");
}

/// An outcome must not be replayed past its end for as long as duplicates come.
#[test]
fn an_answer_is_for_those_who_were_there() {
    let keys: Arc<LocalKeys> = Arc::default();
    let (mut first, mut present) = (keys.enter(&claim(1)), keys.enter(&claim(1)));
    turn(&mut first).tell(Known::Replay(record(1)));
    assert!(matches!(known(&mut present), Known::Replay(_)));
    drop(turn(&mut present));
    let mut later = keys.enter(&claim(1));
    drop(turn(&mut later));
}

#[test]
fn another_request_is_told_what_the_answer_says_of_it() {
    let answers =
        [Known::InFlight { here: false }, Known::Conflict, Known::Failed(StoreError::Unavailable(String::new()))];
    let [in_flight, conflict, failed] = answers;
    assert!(matches!(Known::Replay(record(1)).told_to([1; 32], [2; 32], false), Some(Known::Conflict)));
    let of_another = |known: &Known, is_in_flight| known.told_to([1; 32], [2; 32], is_in_flight);
    assert!(of_another(&in_flight, false).is_none(), "it may run in a transaction, of which nothing is known");
    assert!(of_another(&in_flight, true).is_some(), "which it is told already");
    assert!(of_another(&conflict, true).is_none(), "the key may be this one's");
    assert!(matches!(of_another(&failed, false), Some(Known::Failed(_))));
}

#[tokio::test]
async fn a_change_between_the_look_and_the_wait_is_not_missed() {
    let keys: Arc<LocalKeys> = Arc::default();
    let (mut first, mut waits) = (keys.enter(&claim(1)), keys.enter(&claim(1)));
    let asking = turn(&mut first);
    let (version, _) = waits.look();
    drop(asking);
    waits.changed_since(version).await;
    let leader = waits.leader();
    assert!(leader.is_some() && first.leader().is_none());
    drop(leader);
    assert!(first.leader().is_some());
}

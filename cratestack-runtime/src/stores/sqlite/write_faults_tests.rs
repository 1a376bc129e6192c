//! Calls that are refused, and writers elsewhere.

use super::*;

/// Of what a refused statement does to those around it, there are three kinds: it is undone alone, it ends the
/// transaction, or it makes the commit fail.
#[tokio::test]
async fn a_poisonous_call_fails_its_own_caller_only() {
    for (set_up, objection) in [
        ("", "SELECT RAISE(ABORT, 'no')"),
        ("", "SELECT RAISE(ROLLBACK, 'no')"),
        (
            "CREATE TABLE others (id INTEGER PRIMARY KEY);
             CREATE TABLE refers (id INTEGER REFERENCES others (id) DEFERRABLE INITIALLY DEFERRED);",
            "INSERT INTO refers VALUES (1)",
        ),
    ] {
        // One connection, which has to be as good as before.
        let bench = Bench::new(1).await;
        let before = bench.reserved("before").await;
        bench
            .sql(&format!(
                "{set_up} CREATE TRIGGER objecting AFTER INSERT ON cratestack_idempotency
                 WHEN NEW.key = 'objectionable' BEGIN {objection}; END"
            ))
            .await;
        let turn = bench.occupied().await;
        let finished = bench.finish("before", before, b"done");
        let calls = ["a", "objectionable", "z"].map(|key| bench.reserve(key, 1)).into_iter().collect();
        let answers = bench.together(calls, turn).await;
        assert!(matches!(answers[1], Err(StoreError::Database(_))), "{objection}: {:?}", answers[1]);
        assert_eq!(finished.await.unwrap(), Ok(LeaseState::Held), "{objection}");
        assert_eq!(bench.rows("objectionable").await, 0, "{objection}");
        for (key, answer) in [("a", &answers[0]), ("z", &answers[2])] {
            let token = token(answer);
            assert_eq!(bench.rows(key).await, 1, "{objection}: what is told is there");
            let turn = bench.occupied().await;
            let finished = bench.together(vec![bench.finish(key, token, b"done"), bench.renew(key, token)], turn).await;
            assert_eq!(finished, [Ok(LeaseState::Held), Ok(LeaseState::Lost)], "{objection}");
        }
    }
}

/// The table serves calls of some kinds and not of others.
#[tokio::test]
async fn what_only_claims_stumble_over_is_told_to_claims_only() {
    let bench = Bench::new(4).await;
    let (one, other) = (bench.reserved("one").await, bench.reserved("other").await);
    bench
        .sql(
            "CREATE TABLE audit (key TEXT);
             CREATE TRIGGER audited AFTER INSERT ON cratestack_idempotency BEGIN INSERT INTO audit VALUES (NEW.key); END;
             DROP TABLE audit",
        )
        .await;
    let turn = bench.occupied().await;
    let claim = bench.reserve("new", 1);
    let writes = vec![bench.finish("one", one, b"done"), bench.renew("other", other)];
    assert_eq!(bench.together(writes, turn).await, [Ok(LeaseState::Held), Ok(LeaseState::Held)]);
    let claimed = claim.await.unwrap();
    assert!(matches!(claimed, Err(StoreError::Schema(_))), "{claimed:?}");
    assert!(matches!(bench.reserve("one", 1).await.unwrap(), Ok(ClaimOutcome::Replay(_))));
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_told_to_its_caller_only() {
    let bench = Bench::new(4).await;
    let table = "SELECT sql FROM sqlite_schema WHERE name = 'cratestack_idempotency'";
    let table: String = sqlx::query_scalar(table).fetch_one(&bench.store.database.pool).await.unwrap();
    bench
        .sql(&format!(
            "DROP TABLE cratestack_idempotency; {}",
            table.replace("STRICT", "").trim_end_matches([',', ' ', '\n'])
        ))
        .await;
    bench.claim("odd", 1, Duration::from_millis(1), DAY).await.unwrap().unwrap();
    let held = bench.reserved("held").await;
    bench.sql("UPDATE cratestack_idempotency SET attempt = 1.5 WHERE key = 'odd'").await;
    polled().await;
    let turn = bench.occupied().await;
    let renewed = bench.renew("held", held);
    let answers = bench.together(["odd", "new"].map(|key| bench.reserve(key, 1)).into_iter().collect(), turn).await;
    assert!(matches!(answers[0], Err(StoreError::Codec(_))), "{:?}", answers[0]);
    token(&answers[1]);
    assert_eq!(renewed.await.unwrap(), Ok(LeaseState::Held));
}

#[tokio::test]
async fn a_connection_that_was_left_in_a_transaction_costs_nobody_the_answer() {
    let bench = Bench::new(1).await;
    let held = bench.reserved("held").await;
    let turn = bench.occupied().await;
    let calls = (0..20).map(|_| bench.renew("held", held)).collect();
    polled().await;
    bench.sql("BEGIN").await;
    let renewed = bench.together(calls, turn).await;
    assert!(renewed.iter().all(|renewed| *renewed == Ok(LeaseState::Held)), "{renewed:?}");
    // Which a transaction that was left open would not let.
    let elsewhere = bench.elsewhere().await;
    let written = sqlx::query("DELETE FROM cratestack_idempotency").execute(&elsewhere).await.unwrap();
    assert_eq!(written.rows_affected(), 1);
}

#[tokio::test]
async fn a_disk_that_is_full_for_one_may_do_for_the_others() {
    // A few pages more than the empty table takes.
    let bench = Bench::with(8, |options| options.pragma("max_page_count", "8")).await;
    let (large, small) = (bench.reserved("large").await, bench.reserved("small").await);
    let turn = bench.occupied().await;
    let calls = vec![bench.finish("large", large, &[b'x'; 60_000]), bench.finish("small", small, b"done")];
    let answers = bench.together(calls, turn).await;
    assert!(matches!(answers[0], Err(StoreError::Unavailable(_))), "{:?}", answers[0]);
    assert_eq!(answers[1], Ok(LeaseState::Held));
    assert!(matches!(bench.reserve("small", 1).await.unwrap(), Ok(ClaimOutcome::Replay(_))));
    assert_eq!(bench.reserve("large", 1).await.unwrap(), Ok(ClaimOutcome::InFlight));
}

#[tokio::test]
async fn where_somebody_else_writes_for_too_long_everybody_is_told_at_once() {
    let bench = Bench::new(1).await;
    bench.sql("PRAGMA busy_timeout = 100").await;
    let elsewhere = bench.elsewhere().await;
    let turn = bench.occupied().await;
    let calls: Vec<_> = (0..200).map(|n| bench.release(&format!("k{n}"), Uuid::nil())).collect();
    polled().await;
    let writing = elsewhere.begin_with("BEGIN IMMEDIATE").await.unwrap();
    drop(turn);
    // One after the other, they would take twenty seconds.
    let told = tokio::time::timeout(Duration::from_secs(10), join_all(calls)).await.expect("not one by one");
    for answer in told {
        assert!(matches!(answer.unwrap(), Err(StoreError::Unavailable(_))));
    }
    writing.rollback().await.unwrap();
    bench.reserved("k1").await;
}

#[tokio::test]
async fn only_who_writes_to_the_database_of_the_table_keeps_a_batch_waiting() {
    let hasty = |options: SqliteConnectOptions| options.busy_timeout(Duration::from_millis(100));
    let bench = Bench::over(4, hasty, Some("side")).await;
    let elsewhere = bench.elsewhere().await;
    let turn = bench.occupied().await;
    let calls = (0..20).map(|n| bench.reserve(&format!("k{n}"), 1)).collect();
    let writing = elsewhere.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let tokens: Vec<_> = bench.together(calls, turn).await.iter().map(token).collect();
    assert!(shared(bench.commits()), "{}", bench.commits());
    writing.rollback().await.unwrap();
    assert_eq!(bench.renew("k7", tokens[7]).await.unwrap(), Ok(LeaseState::Held));
}

/// Had the batch read anything before, it could not write now: what it had read would be out of date.
#[tokio::test]
async fn what_somebody_else_commits_while_a_batch_waits_to_write_is_no_obstacle() {
    let bench = Bench::new(1).await;
    let elsewhere = bench.elsewhere().await;
    let turn = bench.store.database.turn.take().await;
    let first = bench.release("nobody's", Uuid::nil());
    let calls: Vec<_> = (0..20).map(|n| bench.reserve(&format!("k{n}"), 1)).collect();
    polled().await;
    // So that the batch is the first to use its connection, and has yet to learn what tables there are.
    first.abort();
    polled().await;
    bench.store.database.pool.acquire().await.unwrap().close().await.unwrap();
    let mut writing = elsewhere.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::raw_sql("CREATE TABLE theirs (id INTEGER)").execute(&mut *writing).await.unwrap();
    drop(turn);
    polled().await;
    assert!(calls.iter().all(|call| !call.is_finished()));
    writing.commit().await.unwrap();
    for call in calls {
        token(&call.await.unwrap());
    }
}

/// Without a WAL a commit waits for those who read.
#[tokio::test]
async fn where_somebody_else_reads_for_too_long_everybody_is_told_at_once() {
    let delete = |options: SqliteConnectOptions| {
        options.journal_mode(SqliteJournalMode::Delete).busy_timeout(Duration::from_millis(100))
    };
    let bench = Bench::with(1, delete).await;
    let token = bench.reserved("k").await;
    let elsewhere = bench.elsewhere().await;
    let turn = bench.occupied().await;
    let calls: Vec<_> = (0..200).map(|_| bench.renew("k", token)).collect();
    polled().await;
    let mut reading = elsewhere.begin().await.unwrap();
    sqlx::query("SELECT key FROM cratestack_idempotency").fetch_all(&mut *reading).await.unwrap();
    drop(turn);
    let told = tokio::time::timeout(Duration::from_secs(10), join_all(calls)).await.expect("not one by one");
    for answer in told {
        assert!(matches!(answer.unwrap(), Err(StoreError::Unavailable(_))));
    }
    reading.rollback().await.unwrap();
    assert_eq!(bench.renew("k", token).await.unwrap(), Ok(LeaseState::Held));
}

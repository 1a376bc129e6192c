use uuid::Uuid;

use super::super::bench::{A, Answer, B, Bench, Checked, LONG, ensure};

pub(super) async fn another_request_conflicts_in_flight(bench: Bench) -> Checked {
    let token = bench.take("key", A, LONG, "a fresh key").await?;
    let mut first = A;
    first[0] ^= 0x80;
    for hash in [B, first, [0; 32], [0xff; 32]] {
        bench.conflict("key", hash, "another request under a reserved key").await?;
    }
    bench.in_flight("key", A, "the same request under a reserved key").await?;
    bench
        .freeze(
            "key",
            token,
            &Answer::new(200, "after a conflict"),
            "a conflict has to leave the reservation to its holder",
        )
        .await?;
    Ok(())
}

pub(super) async fn another_request_conflicts_when_finished(bench: Bench) -> Checked {
    let token = bench.take("key", A, LONG, "a fresh key").await?;
    let answer = Answer::new(200, "done");
    bench.record("key", token, &answer).await?;
    for hash in [B, [0; 32], [0xff; 32]] {
        bench.conflict("key", hash, "another request under a finished key").await?;
    }
    bench.replays("key", A, &answer, "a conflict has to leave the outcome as it was").await?;
    Ok(())
}

pub(super) async fn release_frees_the_key(bench: Bench) -> Checked {
    let first = bench.take("key", A, LONG, "a fresh key").await?;
    bench.release("key", first).await?;
    let second = bench.take("key", B, LONG, "after a release the key is free for any request").await?;
    ensure!(first != second, "a reservation after a release got the released token again");
    bench.release("key", second).await?;
    bench.release("key", second).await?;
    let third = bench.take("key", A, LONG, "after a second release").await?;
    bench.freeze("key", third, &Answer::new(200, "after releases"), "a key that was released before").await?;
    Ok(())
}

pub(super) async fn release_with_another_token_does_nothing(bench: Bench) -> Checked {
    bench.take("key", A, LONG, "a fresh key").await?;
    let elsewhere = bench.take("another key", A, LONG, "a fresh key").await?;
    for token in [Uuid::new_v4(), Uuid::nil(), elsewhere] {
        bench.release("key", token).await?;
        bench.in_flight("key", A, "after a release with a token that is not the holder's").await?;
    }
    bench.in_flight("another key", A, "after its token was used on another key").await
}

pub(super) async fn release_after_completion_does_nothing(bench: Bench) -> Checked {
    for status in [200, 500] {
        let key = format!("key {status}");
        let token = bench.take(&key, A, LONG, "a fresh key").await?;
        let answer = Answer::new(status, "done");
        bench.record(&key, token, &answer).await?;
        bench.release(&key, token).await?;
        bench.replays(&key, A, &answer, "a finished key after a release").await?;
    }
    Ok(())
}

pub(super) async fn released_token_writes_nothing(bench: Bench) -> Checked {
    let released = bench.take("key", A, LONG, "a fresh key").await?;
    bench.release("key", released).await?;
    let stale = Answer::new(200, "stale");
    bench.record("key", released, &stale).await?;
    let current = bench.take("key", A, LONG, "a completion after a release must not bring the key back").await?;
    bench.record("key", released, &stale).await?;
    bench.release("key", released).await?;
    bench.in_flight("key", A, "a released token was used against a later reservation").await?;
    let answer = Answer::new(201, "current");
    bench.record("key", current, &answer).await?;
    bench.record("key", released, &stale).await?;
    bench.replays("key", A, &answer, "a released token was used against a later outcome").await?;
    Ok(())
}

pub(super) async fn calls_on_an_unknown_key_do_nothing(bench: Bench) -> Checked {
    bench.record("key", Uuid::new_v4(), &Answer::new(200, "stray")).await?;
    bench.release("key", Uuid::new_v4()).await?;
    bench.take("key", A, LONG, "after calls on a key that nobody reserved").await.map(drop)
}

pub(super) async fn principals_are_separate(bench: Bench) -> Checked {
    let own = bench.principal.to_string();
    // Pairs that become one string when principal and key are glued together with a separator.
    let glued = ["", ":", "/", "|", ",", " ", "-", "\u{1f}"]
        .map(|by| [(format!("{own}{by}a"), "b".to_owned()), (own.clone(), format!("a{by}b"))]);
    let same_key = [(format!("{own} alice"), "k".to_owned()), (format!("{own} bob"), "k".to_owned())];
    let swapped = [(format!("{own} x"), "y".to_owned()), (format!("{own} y"), "x".to_owned())];
    let mut held = Vec::new();
    for (principal, key) in glued.into_iter().flatten().chain(same_key).chain(swapped) {
        let bench = bench.as_principal(&principal);
        let token = bench.take(&key, A, LONG, "a fresh key of one principal beside another's").await?;
        held.push((bench, key, token));
    }
    if let [.., (alice, key, token), (bob, other, _)] = &held[..] {
        bob.record(key, *token, &Answer::new(200, "stray")).await?;
        bob.release(key, *token).await?;
        alice.in_flight(key, A, "after another principal used its token").await?;
        bob.in_flight(other, A, "after another principal's token was used").await?;
    }
    for (bench, key, token) in &held {
        bench.record(key, *token, &Answer::new(200, &format!("{} {key}", bench.principal))).await?;
    }
    for (bench, key, _) in &held {
        let answer = Answer::new(200, &format!("{} {key}", bench.principal));
        let record = bench.replays(key, A, &answer, "each principal's own outcome").await?;
        ensure!(*record.principal_fingerprint == *bench.principal, "a record names another principal");
    }
    Ok(())
}

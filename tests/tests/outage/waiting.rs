//! Outcomes and renewals that have to wait: for a connection, for the only writer, for a database that is away.

use std::time::Duration;

use cratestack_tests::{
    Proxy, Way,
    fleet::{Bank, Recorded},
};
use sqlx::{Connection as _, SqliteConnection};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    BANK,
    clients::{CHARGES, Manner, Order, PATIENCE},
    setup::{AT_ONCE, LEASE, World, all_until_told},
};

/// Each key's duplicate comes when the lease has ended, as nothing could renew it, and before the first one's outcome.
async fn handlers_that_hold_the_pool_run_once(pool: u64) {
    let world = World::on_postgres().await;
    let bank = world.bank(&world.url, pool, false);
    let orders: Vec<_> = (0..pool).map(|n| Order { within: 2_500, ..Order::new(CHARGES, format!("k{n}")) }).collect();
    let holding = tokio::spawn({
        let (clients, orders) = (vec![bank.client()], orders.clone());
        async move { all_until_told(&clients, &orders, AT_ONCE).await }
    });
    world.have_begun(&orders).await;
    sleep(LEASE * 13 / 10).await;
    let mut told = all_until_told(&[bank.client()], &orders, AT_ONCE).await;
    told.extend(holding.await.unwrap());
    world.ran_once(&orders, &told).await;
}

macro_rules! pools {
    ($($name:ident: $pool:literal),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            handlers_that_hold_the_pool_run_once($pool).await;
        })*
    };
}

pools! {
    handlers_that_hold_a_pool_of_one_run_once: 1,
    handlers_that_hold_a_pool_of_two_run_once: 2,
    handlers_that_hold_a_pool_of_five_run_once: 5,
    handlers_that_hold_a_pool_of_ten_run_once: 10,
}

/// In the end the handlers write to the file, too, and wait for the neighbour as their duplicates and renewals do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_neighbour_that_holds_the_file_for_longer_than_the_lease_doubles_nothing() {
    let world = World::on_sqlite().await;
    let bank = world.bank(&world.url, 4, false);
    let orders: Vec<_> =
        (0..4).map(|n| Order { before: 1_500, within: 1, ..Order::new(CHARGES, format!("k{n}")) }).collect();
    let holding = tokio::spawn({
        let (clients, orders) = (vec![bank.client()], orders.clone());
        async move { all_until_told(&clients, &orders, AT_ONCE).await }
    });
    world.have_begun(&orders).await;
    let mut neighbour = SqliteConnection::connect(&world.url).await.unwrap();
    let transaction = neighbour.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let held = Instant::now();
    sleep(LEASE * 13 / 10).await;
    let repeating = tokio::spawn({
        let (clients, orders) = (vec![bank.client()], orders.clone());
        async move { all_until_told(&clients, &orders, AT_ONCE).await }
    });
    sleep_until(held + LEASE * 25 / 10).await;
    transaction.rollback().await.unwrap();
    let mut told = repeating.await.unwrap();
    told.extend(holding.await.unwrap());
    world.ran_once(&orders, &told).await;
}

/// The only process has told the outcomes, and the lease ends before it can write them.
async fn outcomes_that_wait_are_replayed_by_the_process_that_has_them(way: Way) {
    const LEASE: Duration = Duration::from_secs(2);
    let world = World::on_postgres().await;
    let proxy = Proxy::before(&world.url).await;
    // It goes on waiting for a connection in short pieces, so that it is not in one of them when the database is back.
    let setup = world.setup(16, false).lease(LEASE).acquire_timeout(Duration::from_millis(500));
    let bank = Bank::start(BANK, proxy.url(), &setup, 0);
    let orders: Vec<_> = (0..40).map(|n| Order { after: 500, ..Order::new(CHARGES, format!("k{n}")) }).collect();
    let first = tokio::spawn({
        let (clients, orders) = (vec![bank.client()], orders.clone());
        async move { all_until_told(&clients, &orders, AT_ONCE).await }
    });
    world.have_begun(&orders).await;
    proxy.set(way);
    let away = Instant::now();
    let told = first.await.unwrap();
    let unwritten = world.books.unwritten("k").await.len();
    sleep_until(away + LEASE * 15 / 10).await;
    // They ask already when the database comes back, and several for each key.
    let repeating = tokio::spawn({
        let (clients, orders) = (vec![bank.client()], [&orders[..]; 2].concat());
        async move { all_until_told(&clients, &orders, Manner { pause: Duration::from_millis(150), ..AT_ONCE }).await }
    });
    sleep_until(away + LEASE * 16 / 10).await;
    proxy.set(Way::Open);
    println!("away for {:.1?}, lease {LEASE:?}: {unwritten} outcomes were told and not written", away.elapsed());
    assert_eq!(unwritten, orders.len(), "the outcomes were to wait");
    let again = repeating.await.unwrap();
    let otherwise = told.iter().cycle().zip(&again).filter(|(first, again)| {
        let told = |told: &crate::clients::Told| told.outcome().map(Recorded::told);
        told(first) != told(again)
    });
    println!("{} of {} replays were not what was told", otherwise.count(), again.len());
    // What it replayed it also writes.
    let asked = Instant::now();
    while !world.books.unwritten("k").await.is_empty() && asked.elapsed() < PATIENCE {
        sleep(Duration::from_millis(20)).await;
    }
    world.ran_once(&orders, &[told, again].concat()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_that_wait_behind_a_cut_are_replayed_by_the_process_that_has_them() {
    outcomes_that_wait_are_replayed_by_the_process_that_has_them(Way::Cut).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_that_wait_behind_a_black_hole_are_replayed_by_the_process_that_has_them() {
    outcomes_that_wait_are_replayed_by_the_process_that_has_them(Way::BlackHole).await;
}

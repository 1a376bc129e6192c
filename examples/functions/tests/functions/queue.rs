//! The consumer: each order is charged once, whatever is delivered again and whoever is killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_nats::jetstream::{self, consumer, stream};
use cratestack_tests::fleet::{Rng, seed};
use cratestack_tests::{Nats, NatsServer, PostgresServer, Proxy, Settings, TestDatabase, Way, Worker};
use serde_json::json;
use sqlx::{PgPool, Postgres, Transaction, query, query_as, query_scalar};
use tokio::time::{sleep, timeout};

/// So soon the broker delivers again what was not acknowledged.
const ACK_WAIT: Duration = Duration::from_secs(1);

/// Far more than anything here takes, also on a machine that is busy.
const LONG: Duration = Duration::from_mins(2);

const BALANCE: i64 = 1_000_000;

type Queue = consumer::Consumer<consumer::pull::Config>;

/// A queue, and a database with an account.
struct Stage {
    database_url: String,
    pool: PgPool,
    nats_url: String,
    stream: String,
    jetstream: jetstream::Context,
    queue: Queue,
}

impl Stage {
    async fn set(database_url: &str, nats_url: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
        // A server that others use as well has other streams.
        let stream = format!("orders-{now}-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let jetstream = jetstream::new(async_nats::connect(nats_url).await.unwrap());
        let created =
            jetstream.create_stream(stream::Config { name: stream.clone(), ..Default::default() }).await.unwrap();
        let durable_name = Some("charge".to_owned());
        let patience = consumer::pull::Config { durable_name, ack_wait: ACK_WAIT, ..Default::default() };
        let queue = created.create_consumer(patience).await.unwrap();
        let pool = PgPool::connect(database_url).await.unwrap();
        let (database_url, nats_url) = (database_url.to_owned(), nats_url.to_owned());
        Self { database_url, pool, nats_url, stream, jetstream, queue }
    }

    /// A consumer; the first one has made the tables.
    async fn consumer(&self) -> Worker {
        self.consumer_by(&self.nats_url).await
    }

    async fn consumer_by(&self, nats_url: &str) -> Worker {
        let settings = Settings::of_executable(env!("CARGO_BIN_EXE_queue").into())
            .database(&self.database_url)
            .set("NATS_URL", nats_url)
            .set("STREAM", &self.stream);
        let consumer = Worker::start(settings, "consuming").await;
        let account = "INSERT INTO accounts VALUES ('alice', $1) ON CONFLICT DO NOTHING";
        query(account).bind(BALANCE).execute(&self.pool).await.unwrap();
        consumer
    }

    async fn publish(&self, payload: impl Into<String>) {
        let published = self.jetstream.publish(self.stream.clone(), payload.into().into()).await;
        published.unwrap().await.unwrap();
    }

    async fn order(&self, id: &str, cents: i64) {
        self.publish(json!({ "id": id, "account": "alice", "cents": cents }).to_string()).await;
    }

    /// Until the queue waits for nothing and nobody.
    async fn drained(&mut self, consumers: &[&Worker]) {
        let drained = timeout(LONG, async {
            loop {
                // A broker that is coming back answers nothing.
                if let Ok(info) = self.queue.info().await
                    && (info.num_pending, info.num_ack_pending) == (0, 0)
                {
                    return;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        if drained.await.is_err() {
            let logs: String = consumers.iter().map(|consumer| consumer.stdout() + &consumer.stderr()).collect();
            panic!("the queue is not drained: {:?}\n{logs}", self.queue.info().await);
        }
    }

    /// How often messages were delivered.
    async fn deliveries(&mut self) -> u64 {
        self.queue.info().await.unwrap().delivered.consumer_sequence
    }

    /// Every charge, and that the account has paid for them.
    async fn charges(&self) -> Vec<(String, i64)> {
        // In one statement, as a charge may be committed meanwhile.
        let books = "SELECT order_id, charges.cents, accounts.cents FROM accounts LEFT JOIN charges ON true
            ORDER BY order_id, id";
        let books: Vec<(Option<String>, Option<i64>, i64)> = query_as(books).fetch_all(&self.pool).await.unwrap();
        let left = books[0].2;
        let charges: Vec<_> = books.into_iter().filter_map(|(order, cents, _)| order.zip(cents)).collect();
        assert_eq!(left, BALANCE - charges.iter().map(|(_, cents)| cents).sum::<i64>());
        charges
    }

    /// Holds whoever charges the account.
    async fn hold(&self) -> Transaction<'static, Postgres> {
        let mut held = self.pool.begin().await.unwrap();
        query("SELECT * FROM accounts FOR UPDATE").execute(&mut *held).await.unwrap();
        held
    }

    /// Until somebody is held.
    async fn is_held(&self) {
        let waiting = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'UPDATE accounts%'";
        until("a consumer charges", async || {
            let waiting: i64 = query_scalar(waiting).fetch_one(&self.pool).await.unwrap();
            waiting > 0
        })
        .await;
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = timeout(LONG, async {
        while !holds().await {
            sleep(Duration::from_millis(10)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("waited in vain until {what}"));
}

#[tokio::test]
async fn each_order_is_charged_once_while_consumers_are_killed() {
    let seed = seed();
    println!("SEED={seed}");
    let mut rng = Rng::new(seed);
    let (database, nats) = (TestDatabase::create().await, Nats::connect().await);
    let mut stage = Stage::set(database.url(), nats.url()).await;
    let mut consumers = Vec::new();
    for _ in 0..3 {
        consumers.push(stage.consumer().await);
    }
    let mut expected = BTreeMap::new();
    let mut published = 0;
    for round in 0..25 {
        for number in 0..12 {
            let (id, cents) = (format!("{round:02}-{number:02}"), i64::try_from(rng.between(1, 500)).unwrap());
            stage.order(&id, cents).await;
            expected.insert(id, cents);
            published += 1;
            // A producer that was not sure; of this order or of one that is long charged.
            if rng.chance(30) {
                let (id, cents) = expected.iter().nth(usize::try_from(rng.below(published)).unwrap_or(0)).unwrap();
                stage.order(id, *cents).await;
            }
        }
        sleep(Duration::from_millis(rng.milliseconds(60))).await;
        let killed = usize::try_from(rng.below(3)).unwrap();
        consumers[killed].restart().await;
    }
    stage.drained(&consumers.iter().collect::<Vec<_>>()).await;

    assert_eq!(stage.charges().await, expected.into_iter().collect::<Vec<_>>());
    let messages = stage.jetstream.get_stream(&stage.stream).await.unwrap().cached_info().state.messages;
    let deliveries = stage.deliveries().await;
    assert!(deliveries > messages, "of {messages} messages none was delivered again, so nothing was tried");
    println!("{published} orders, {messages} messages, {deliveries} deliveries");
}

#[tokio::test]
async fn a_charge_whose_acknowledgement_is_lost_is_not_made_again() {
    let (database, nats) = (TestDatabase::create().await, Nats::connect().await);
    let mut stage = Stage::set(database.url(), nats.url()).await;
    let proxy = Proxy::before(nats.url()).await;
    let way = proxy.url().split('?').next().unwrap();
    let mut consumer = stage.consumer_by(way).await;

    let held = stage.hold().await;
    stage.order("order-1", 250).await;
    stage.is_held().await;
    proxy.set(Way::Cut);
    held.rollback().await.unwrap();
    until("the charge is committed", async || !stage.charges().await.is_empty()).await;
    consumer.kill();
    proxy.set(Way::Open);
    consumer.restart().await;

    until("it is delivered again, and acknowledged", async || consumer.stdout().contains("order order-1 is charge 1"))
        .await;
    stage.drained(&[&consumer]).await;
    assert!(stage.deliveries().await > 1);
    assert_eq!(stage.charges().await, [("order-1".to_owned(), 250)]);
}

#[tokio::test]
async fn a_consumer_that_is_killed_while_it_charges_leaves_nothing_behind() {
    let (database, nats) = (TestDatabase::create().await, Nats::connect().await);
    let mut stage = Stage::set(database.url(), nats.url()).await;
    let mut consumer = stage.consumer().await;

    let held = stage.hold().await;
    stage.order("order-1", 250).await;
    stage.is_held().await;
    consumer.kill();
    held.rollback().await.unwrap();
    consumer.restart().await;

    stage.drained(&[&consumer]).await;
    assert!(stage.deliveries().await > 1);
    assert_eq!(stage.charges().await, [("order-1".to_owned(), 250)]);
}

#[tokio::test]
async fn an_order_that_is_being_charged_comes_again_later() {
    let (database, nats) = (TestDatabase::create().await, Nats::connect().await);
    let mut stage = Stage::set(database.url(), nats.url()).await;
    let consumers = [stage.consumer().await, stage.consumer().await];

    let held = stage.hold().await;
    stage.order("order-1", 250).await;
    stage.is_held().await;
    // It has not been acknowledged, so it is delivered again while it is being charged.
    until("one is told that the other charges", async || {
        consumers.iter().any(|consumer| consumer.stderr().contains("later, order order-1: `charge` is running"))
    })
    .await;
    held.rollback().await.unwrap();

    stage.drained(&consumers.each_ref()).await;
    assert_eq!(stage.charges().await, [("order-1".to_owned(), 250)]);
}

#[tokio::test]
async fn messages_that_never_fare_better_are_given_up_and_told_of() {
    let (database, nats) = (TestDatabase::create().await, Nats::connect().await);
    let mut stage = Stage::set(database.url(), nats.url()).await;
    let consumer = stage.consumer().await;

    stage.order("order-1", 250).await;
    stage.drained(&[&consumer]).await;
    stage.publish("no order at all").await;
    stage.publish(r#"{"id": "order-2", "account": "nobody", "cents": 1}"#).await;
    // Neither is one without a key, nor one that has another's.
    stage.publish(r#"{"id": "", "account": "alice", "cents": 1}"#).await;
    stage.order("order-1", 251).await;
    stage.drained(&[&consumer]).await;

    let told = [
        "given up, a message that is no order: expected ident at line 1 column 2",
        "given up, order order-2: there is no account \"nobody\"",
        "given up, order : `charge` was called without a key",
        "given up, order order-1: `charge` was called with this key and another fingerprint",
    ];
    // It is written before the message is given up, and read here in a moment.
    for told in told {
        until(told, async || consumer.stderr().contains(told)).await;
    }
    assert_eq!(stage.deliveries().await, 5, "none came twice");
    assert_eq!(stage.charges().await, [("order-1".to_owned(), 250)]);
}

#[tokio::test]
async fn orders_wait_for_a_database_that_is_away() {
    let (server, nats) = (PostgresServer::launch().await, Nats::connect().await);
    let mut stage = Stage::set(&server.url(), nats.url()).await;
    let consumer = stage.consumer().await;

    server.stop_immediate().await;
    stage.order("order-1", 250).await;
    until("it is put off", async || consumer.stderr().contains("later, order order-1: ")).await;
    server.start().await;

    stage.drained(&[&consumer]).await;
    assert_eq!(stage.charges().await, [("order-1".to_owned(), 250)]);
}

#[tokio::test]
async fn a_broker_that_is_killed_delivers_again_and_nothing_is_charged_again() {
    let (database, mut server) = (TestDatabase::create().await, NatsServer::launch().await);
    let mut stage = Stage::set(database.url(), &server.url()).await;
    let consumers = [stage.consumer().await, stage.consumer().await];

    let orders: Vec<_> = (0..40).map(|number| (format!("order-{number:02}"), number)).collect();
    for (number, (id, cents)) in orders.iter().enumerate() {
        stage.order(id, *cents).await;
        if number == 20 {
            server = server.crash_and_restart().await;
        }
    }
    // What it had confirmed last, it may not have written yet. So its producer sends all of them again.
    for (id, cents) in &orders {
        stage.order(id, *cents).await;
    }
    stage.drained(&consumers.each_ref()).await;
    assert_eq!(stage.charges().await, orders);
    drop(server);
}

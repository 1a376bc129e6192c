//! The gRPC service: a charge is made once, whatever becomes of a call and of the service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cratestack_tests::{Service, Settings};
use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use self::payments::payments_client::PaymentsClient;
use self::payments::provider_server::{Provider, ProviderServer};
use self::payments::{Authorization, AuthorizeRequest, CaptureRequest, Order, Receipt};

#[allow(clippy::pedantic)]
mod payments {
    tonic::include_proto!("payments");
}

/// Far more than anything here takes, also on a machine that is busy.
const LONG: Duration = Duration::from_mins(2);

/// Another service, which outlives the one under test and keeps books of its own.
#[derive(Clone)]
struct Bank {
    books: Arc<Mutex<Books>>,
    /// Whether it keeps the answer to a capture that it has made.
    holds: Arc<watch::Sender<bool>>,
    address: String,
}

#[derive(Default)]
struct Books {
    /// How often each key was shown.
    authorizations: BTreeMap<String, usize>,
    captures: BTreeMap<String, usize>,
}

impl Books {
    /// How many authorizations and captures there were, each time as calls and as effects.
    fn counts(&self) -> [(usize, usize); 2] {
        [&self.authorizations, &self.captures].map(|calls| (calls.values().sum(), calls.len()))
    }
}

impl Bank {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let bank = Self { books: Arc::default(), holds: Arc::new(watch::channel(false).0), address };
        let serving = Server::builder().add_service(ProviderServer::new(bank.clone()));
        tokio::spawn(serving.serve_with_incoming(TcpIncoming::from(listener)));
        bank
    }

    fn counts(&self) -> [(usize, usize); 2] {
        self.books.lock().unwrap().counts()
    }

    async fn has_captured(&self) {
        let seen = async {
            while self.counts()[1].0 == 0 {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LONG, seen).await.expect("the service captures");
    }
}

#[tonic::async_trait]
impl Provider for Bank {
    async fn authorize(&self, request: Request<AuthorizeRequest>) -> Result<Response<Authorization>, Status> {
        let AuthorizeRequest { idempotency_key, card, .. } = request.into_inner();
        if card == "expired" {
            return Err(Status::out_of_range("the card has expired"));
        }
        let id = format!("authorization-{idempotency_key}");
        *self.books.lock().unwrap().authorizations.entry(idempotency_key).or_default() += 1;
        Ok(Response::new(Authorization { id }))
    }

    async fn capture(&self, request: Request<CaptureRequest>) -> Result<Response<Receipt>, Status> {
        let CaptureRequest { idempotency_key, authorization, cents } = request.into_inner();
        assert!(authorization.starts_with("authorization-"), "{authorization}");
        let receipt = Receipt { capture: format!("capture-{idempotency_key}"), cents };
        *self.books.lock().unwrap().captures.entry(idempotency_key).or_default() += 1;
        let _ = self.holds.subscribe().wait_for(|holds| !holds).await;
        Ok(Response::new(receipt))
    }
}

async fn service(bank: &Bank) -> Service {
    let program = Settings::of_executable(env!("CARGO_BIN_EXE_grpc").into());
    Service::start(program.set("PROVIDER", &bank.address)).await
}

async fn client(service: &Service) -> PaymentsClient<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", service.address())).unwrap();
    PaymentsClient::new(endpoint.connect().await.unwrap())
}

fn order(caller: Option<&'static str>, key: Option<&'static str>, cents: i64) -> Request<Order> {
    let mut request = Request::new(Order { card: "4242".to_owned(), cents });
    for (name, value) in [("authorization", caller), ("idempotency-key", key)] {
        if let Some(value) = value {
            request.metadata_mut().insert(name, value.parse().unwrap());
        }
    }
    request
}

fn alices(key: &'static str) -> Request<Order> {
    order(Some("Bearer alice"), Some(key), 500)
}

/// As a client should: the same call, for as long as it is told that it may.
async fn charged(client: &mut PaymentsClient<Channel>, key: &'static str) -> Receipt {
    let retrying = async {
        loop {
            match client.charge(alices(key)).await {
                Ok(receipt) => return receipt.into_inner(),
                Err(status) => {
                    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                    sleep(retry_delay(&status)).await;
                }
            }
        }
    };
    timeout(LONG, retrying).await.expect("it ends")
}

fn retry_delay(status: &Status) -> Duration {
    let retry = status.get_details_retry_info().and_then(|retry| retry.retry_delay);
    retry.unwrap_or_else(|| panic!("it says when to retry: {status:?}"))
}

#[tokio::test]
async fn calls_at_once_charge_once() {
    let bank = Bank::open().await;
    let service = service(&bank).await;
    let calls = (0..12).map(|_| async { charged(&mut client(&service).await, "key-1").await });
    let receipts = join_all(calls).await;
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0] && receipt.cents == 500), "{receipts:?}");
    assert_eq!(bank.counts(), [(1, 1), (1, 1)]);
}

#[tokio::test]
async fn a_retry_after_a_deadline_goes_on_where_the_first_call_was() {
    let bank = Bank::open().await;
    let service = service(&bank).await;
    let mut client = client(&service).await;

    bank.holds.send_replace(true);
    let mut impatient = alices("key-1");
    impatient.set_timeout(Duration::from_secs(1));
    let status = client.charge(impatient).await.unwrap_err();
    assert!([Code::DeadlineExceeded, Code::Cancelled].contains(&status.code()), "{status:?}");
    bank.has_captured().await;
    bank.holds.send_replace(false);

    let receipt = charged(&mut client, "key-1").await;
    assert_eq!(receipt.cents, 500);
    // The authorization was recorded. The capture was not, and is asked for again with its own key.
    assert_eq!(bank.counts(), [(1, 1), (2, 1)]);
    assert_eq!(charged(&mut client, "key-1").await, receipt);
    assert_eq!(bank.counts(), [(1, 1), (2, 1)]);
}

#[tokio::test]
async fn a_service_that_is_killed_while_it_charges_goes_on_with_the_retry() {
    let bank = Bank::open().await;
    let mut service = service(&bank).await;
    let mut before = client(&service).await;

    bank.holds.send_replace(true);
    let cut_off = tokio::spawn(async move { before.charge(alices("key-1")).await });
    bank.has_captured().await;
    service.kill();
    assert!(cut_off.await.unwrap().is_err());
    bank.holds.send_replace(false);
    service.restart().await;

    let mut client = client(&service).await;
    let receipt = charged(&mut client, "key-1").await;
    assert_eq!(bank.counts(), [(1, 1), (2, 1)]);
    service.restart().await;
    assert_eq!(charged(&mut self::client(&service).await, "key-1").await, receipt, "it is on the disk");
    assert_eq!(bank.counts(), [(1, 1), (2, 1)]);
}

#[tokio::test]
async fn a_call_while_another_charges_is_told_when_to_try_again() {
    let bank = Bank::open().await;
    let service = service(&bank).await;
    let mut client = client(&service).await;

    bank.holds.send_replace(true);
    let mut first = client.clone();
    let charging = tokio::spawn(async move { first.charge(alices("key-1")).await });
    bank.has_captured().await;
    let status = client.charge(alices("key-1")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(!retry_delay(&status).is_zero());
    bank.holds.send_replace(false);

    let receipt = charging.await.unwrap().unwrap().into_inner();
    assert_eq!(charged(&mut client, "key-1").await, receipt);
    assert_eq!(bank.counts(), [(1, 1), (1, 1)]);
}

#[tokio::test]
async fn a_call_that_cannot_be_right_is_told_why() {
    let bank = Bank::open().await;
    let service = service(&bank).await;
    let mut client = client(&service).await;
    let receipt = charged(&mut client, "key-1").await;

    let wrong = [
        (order(Some("Bearer alice"), Some("key-1"), 501), Code::FailedPrecondition),
        (order(Some("Bearer alice"), None, 500), Code::InvalidArgument),
        (order(None, Some("key-1"), 500), Code::Unauthenticated),
    ];
    for (request, code) in wrong {
        let status = client.charge(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
    }
    assert_eq!(bank.counts(), [(1, 1), (1, 1)]);

    let bobs = client.charge(order(Some("Bearer bob"), Some("key-1"), 500)).await.unwrap().into_inner();
    assert_ne!(bobs, receipt, "a caller's key is the caller's own");
    assert_eq!(bank.counts(), [(2, 2), (2, 2)]);
}

/// What the provider says reaches the client, and is not recorded.
#[tokio::test]
async fn an_error_of_the_provider_frees_the_key() {
    let bank = Bank::open().await;
    let service = service(&bank).await;
    let mut client = client(&service).await;
    for _ in 0..2 {
        let mut request = alices("key-1");
        "expired".clone_into(&mut request.get_mut().card);
        let status = client.charge(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::OutOfRange, "the card has expired"));
    }
    assert_eq!(charged(&mut client, "key-1").await.cents, 500, "of this key no charge was begun");
}

/// Without a provider of its own it is one itself.
#[tokio::test]
async fn it_runs_alone() {
    let service = Service::start(Settings::of_executable(env!("CARGO_BIN_EXE_grpc").into())).await;
    let mut client = client(&service).await;
    let receipt = charged(&mut client, "key-1").await;
    assert_eq!(charged(&mut client, "key-1").await, receipt);
    assert_ne!(charged(&mut client, "key-2").await, receipt);
}

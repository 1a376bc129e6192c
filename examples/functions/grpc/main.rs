//! A gRPC service whose method charges once for each key, at a provider that takes two calls:
//! `cargo run --manifest-path examples/functions/Cargo.toml --bin grpc`.

mod provider;
mod status;

use std::{env, error::Error};

use cratestack_runtime::{Idempotency, Reservation, SqliteStore, idempotent};
use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint, Server, server::TcpIncoming};
use tonic::{Request, Response, Status};

use self::payments::payments_server::{Payments, PaymentsServer};
use self::payments::provider_client::ProviderClient;
use self::payments::provider_server::ProviderServer;
use self::payments::{AuthorizeRequest, CaptureRequest, Order, Receipt};
use self::status::ChargeError;

#[allow(clippy::pedantic)]
mod payments {
    tonic::include_proto!("payments");
}

struct Service {
    idempotency: Idempotency,
    provider: ProviderClient<Channel>,
}

impl Service {
    /// Wherever a run of it ends, the next one goes on after the last step that was recorded. A step that was done and
    /// not recorded is done again, with the same key for the provider.
    #[idempotent(
        name = "payments.charge",
        handle = self.idempotency,
        principal = caller,
        key = key,
        fingerprint = (&order.card, order.cents),
        lease = "3s",
        wait = "2s"
    )]
    async fn charge_once(
        &self,
        caller: Option<&str>,
        key: Option<&str>,
        order: &Order,
        reservation: Reservation,
    ) -> Result<Receipt, ChargeError> {
        let authorize = async || {
            let idempotency_key = reservation.derive("authorize").to_string();
            let request = AuthorizeRequest { idempotency_key, card: order.card.clone(), cents: order.cents };
            Ok::<_, ChargeError>(self.provider.clone().authorize(request).await?.into_inner())
        };
        let authorization = reservation.step("authorize", authorize).await?.id;
        let capture = async || {
            let idempotency_key = reservation.derive("capture").to_string();
            let request = CaptureRequest { idempotency_key, authorization, cents: order.cents };
            Ok(self.provider.clone().capture(request).await?.into_inner())
        };
        reservation.step("capture", capture).await
    }
}

#[tonic::async_trait]
impl Payments for Service {
    async fn charge(&self, request: Request<Order>) -> Result<Response<Receipt>, Status> {
        let text = |name: &str| request.metadata().get(name).and_then(|value| value.to_str().ok());
        // A service verifies its callers in an interceptor, which leaves who they are in the request's extensions.
        let (caller, key) = (text("authorization"), text("idempotency-key"));
        Ok(Response::new(self.charge_once(caller, key, request.get_ref()).await?))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let store = SqliteStore::new(sqlx::SqlitePool::connect("sqlite://payments.db?mode=rwc").await?);
    store.migrate().await?;
    let port = env::var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    let address = listener.local_addr()?;
    // Without another one, the provider is this process, too.
    let provider = env::var("PROVIDER").unwrap_or_else(|_| format!("http://{address}"));
    let provider = ProviderClient::new(Endpoint::from_shared(provider)?.connect_lazy());
    println!("listening on http://{address}");
    Server::builder()
        .add_service(PaymentsServer::new(Service { idempotency: Idempotency::new(store), provider }))
        .add_service(ProviderServer::new(provider::InMemory::default()))
        .serve_with_incoming(TcpIncoming::from(listener))
        .await?;
    Ok(())
}

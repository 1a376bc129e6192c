//! Valkey or Redis for the keys of handlers without a transaction, beside a ledger that lies elsewhere.

use cratestack_runtime::schema::ServerFindingKind;
use cratestack_runtime::{RedisStore, StoreError};
use redis::{Client, ConnectionInfo, IntoConnectionInfo as _};

/// One server, or nodes of a Cluster.
pub(crate) struct Redis(Vec<ConnectionInfo>);

impl Redis {
    pub(crate) fn parse(urls: &str) -> Result<Self, String> {
        // Nothing of a URL is ever shown, as it may hold a password.
        let wrong = |problem: &str| {
            format!(
                "REDIS_URL must be redis://USER:PASSWORD@HOST:PORT, or a Cluster's nodes with commas between: {problem}"
            )
        };
        let node = |url: &str| match url.split_once("://") {
            Some(("redis" | "valkey" | "unix" | "redis+unix" | "valkey+unix", _)) => {
                url.into_connection_info().map_err(|_| {
                    wrong("what follows the scheme is no address; in a password, / ? # @ and , are percent-encoded")
                })
            }
            Some(("rediss" | "valkeys", _)) => Err(wrong("this example is built without TLS")),
            _ => Err(wrong("it has another scheme, or none")),
        };
        urls.split(',').map(|url| node(url.trim())).collect::<Result<_, _>>().map(Self)
    }

    pub(crate) fn name(&self) -> &'static str {
        if self.0.len() > 1 { "a Redis Cluster" } else { "Redis" }
    }

    /// A store there, once it has answered.
    pub(crate) async fn open(&self) -> Result<RedisStore, String> {
        let clients = self.0.iter().cloned().map(Client::open).collect::<Result<Vec<_>, _>>();
        let clients = clients.map_err(|error| self.unusable(&error))?;
        let store = match <[Client; 1]>::try_from(clients) {
            Ok([client]) => RedisStore::new(client),
            Err(clients) => RedisStore::cluster(clients).map_err(|error| self.unusable(&error))?,
        };
        let report = store.check().await.map_err(|error: StoreError| self.unusable(&error))?;
        if let Some(finding) = report.findings().iter().find(|finding| finding.kind == ServerFindingKind::Topology) {
            return Err(self.unusable(&finding.text));
        }
        if !report.findings().is_empty() {
            eprintln!("{}: {}", self.name(), self.without_passwords(&report.to_string()));
        }
        Ok(store)
    }

    fn unusable(&self, cause: &dyn std::fmt::Display) -> String {
        let (places, cause) = (self.places(), self.without_passwords(&cause.to_string()));
        let hint = if cause.contains("node of a Cluster") { " In REDIS_URL, name two of its nodes." } else { "" };
        format!("cannot keep keys at {places}: {cause}.{hint} The address comes from REDIS_URL.")
    }

    fn places(&self) -> String {
        self.0.iter().map(|node| node.addr().to_string()).collect::<Vec<_>>().join(", ")
    }

    /// A server may say in its error what it was told.
    fn without_passwords(&self, text: &str) -> String {
        let passwords = self.0.iter().filter_map(|node| node.redis_settings().password());
        passwords
            .filter(|password| !password.is_empty())
            .fold(text.to_owned(), |text, secret| text.replace(secret, "***"))
    }
}

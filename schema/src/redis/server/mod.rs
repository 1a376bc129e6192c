//! What a server of Valkey or Redis says of itself, compared with what a store needs.

mod answers;
mod commands;
mod comparison;
mod finding;
mod info;
mod needs;
mod rights;
#[cfg(test)]
mod tests;

use std::fmt;

pub use self::answers::{ServerAnswer, ServerAnswers};
use self::comparison::Comparison;
pub use self::finding::{ServerFinding, ServerFindingKind};
pub use self::needs::ServerNeeds;
use super::KeyPrefix;
use crate::report::visible;

/// One server of Valkey or Redis, or every primary of a Cluster, compared with what a store needs.
///
/// It is made from answers, and connects to nothing: [`ServerNeeds::questions`] says what to ask.
///
/// ```
/// use cratestack_schema::redis::{KeyPrefix, ServerAnswer, ServerAnswers, ServerNeeds, ServerReport};
///
/// let (prefix, needs) = (KeyPrefix::default(), ServerNeeds::single());
/// let ask = |words: &[String]| match words[0].as_str() {
///     "INFO" => ServerAnswer::Text("redis_version:7.4.1\r\nmaxmemory:1\r\nmaxmemory_policy:allkeys-lru\r\n".into()),
///     _ => ServerAnswer::Text("OK".into()), // what the server says
/// };
/// let answers = needs.questions(&prefix).iter().map(|words| ask(words)).collect();
/// let report = ServerReport::new(&prefix, needs, &[ServerAnswers::new("10.0.0.7:6379", answers)]);
/// assert!(!report.is_clean());
/// assert!(report.to_string().contains("mend: CONFIG SET maxmemory-policy noeviction"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    cluster: bool,
    servers: Vec<(String, Option<String>)>,
    findings: Vec<ServerFinding>,
}

impl ServerReport {
    /// Compares what each server answered: one, or each primary of a Cluster.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds, ServerReport};
    ///
    /// assert!(!ServerReport::new(&KeyPrefix::default(), ServerNeeds::cluster(), &[]).is_clean());
    /// ```
    pub fn new(prefix: &KeyPrefix, needs: ServerNeeds, servers: &[ServerAnswers]) -> Self {
        let questions = needs.questions(prefix);
        let mut report = Self { cluster: needs.is_cluster(), servers: Vec::new(), findings: Vec::new() };
        for ServerAnswers { address, answers } in servers {
            let mut comparison = Comparison::new(prefix, needs, address, &questions, answers);
            comparison.all();
            report.servers.push((address.clone(), comparison.info.product()));
            report.findings.append(&mut comparison.findings);
        }
        if servers.is_empty() {
            report.findings.push(ServerFinding {
                address: "the server".to_owned(),
                kind: ServerFindingKind::Unseen,
                must_mend: true,
                text: "nothing has answered".to_owned(),
                remedy: None,
            });
        }
        // A stable sort: what is about one server stays in its order.
        report.findings.sort_by_key(|finding| !finding.must_mend);
        report
    }

    /// Whether the servers are what a store needs: there may be findings that are only told.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds, ServerReport};
    ///
    /// let report = ServerReport::new(&KeyPrefix::default(), ServerNeeds::single(), &[]);
    /// assert_eq!(report.is_clean(), report.findings().iter().all(|finding| !finding.must_mend));
    /// ```
    pub fn is_clean(&self) -> bool {
        self.findings.iter().all(|finding| !finding.must_mend)
    }

    /// What was found: first what must be mended, then what is only told, each the gravest first.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds, ServerReport};
    ///
    /// let report = ServerReport::new(&KeyPrefix::default(), ServerNeeds::single(), &[]);
    /// assert_eq!(report.findings()[0].text, "nothing has answered");
    /// ```
    pub fn findings(&self) -> &[ServerFinding] {
        &self.findings
    }

    /// The addresses of the servers, and what each of them is, such as `Valkey 8.0.1`; `None` where it did not say.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerAnswers, ServerNeeds, ServerReport};
    ///
    /// let answers = [ServerAnswers::new("10.0.0.7:6379", Vec::new())];
    /// let report = ServerReport::new(&KeyPrefix::default(), ServerNeeds::single(), &answers);
    /// assert_eq!(report.servers().collect::<Vec<_>>(), [("10.0.0.7:6379", None)]);
    /// ```
    pub fn servers(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.servers.iter().map(|(address, product)| (address.as_str(), product.as_deref()))
    }
}

impl fmt::Display for ServerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let servers = self.servers().map(|(address, product)| match product {
            Some(product) => format!("{} ({})", visible(address), visible(product)),
            None => visible(address),
        });
        let names = servers.collect::<Vec<_>>().join(", ");
        let what = match (self.cluster, names.as_str()) {
            (_, "") => "the server".to_owned(),
            (true, names) => format!("the Cluster of {names}"),
            (false, names) => names.to_owned(),
        };
        match self.findings.iter().filter(|finding| finding.must_mend).count() {
            0 => write!(f, "{what} is as this program needs it")?,
            count => write!(f, "{what} is not as this program needs it: {count} to mend")?,
        }
        for ServerFinding { address, kind, must_mend, text, remedy } in &self.findings {
            let note = if *must_mend { "" } else { "note: " };
            let place = if self.servers.len() > 1 { format!("{}: ", visible(address)) } else { String::new() };
            write!(f, "\n  {kind:<12}  {note}{place}{}", visible(text))?;
            if let Some(remedy) = remedy {
                write!(f, "\n  {:<12}  mend: {}", "", visible(remedy))?;
            }
        }
        Ok(())
    }
}

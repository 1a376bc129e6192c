use std::io;
use std::process::ExitCode;

use cratestack_schema::redis::{KeyPrefix, ServerAnswer, ServerAnswers, ServerNeeds, ServerReport};
use redis::Value;
use serde_json::json;

use super::arguments::Servers;
use super::connection::{Node, text};
use crate::output::{Failure, paint, print};

/// Compares the servers with what a store needs: exit code 0, or 1 and a list.
pub async fn check(servers: &Servers, as_json: bool) -> Result<ExitCode, Failure> {
    let prefix = servers.prefix()?;
    let mut connected = servers.connect().await?;
    let needs = if connected.is_cluster { ServerNeeds::cluster() } else { ServerNeeds::single() };
    let mut answers = Vec::new();
    for node in &mut connected.nodes {
        answers.push(interview(node, &needs.questions(&prefix)).await?);
    }
    let report = ServerReport::new(&prefix, needs, &answers);
    if as_json {
        print(&format!("{}\n", json_of(&report, &prefix, connected.is_cluster)))?;
    } else {
        let mut text = report.to_string();
        for finding in report.findings() {
            let kind = format!("\n  {:<12}", finding.kind);
            let colour = if finding.must_mend { "31" } else { "33" };
            let painted = format!("\n  {}", paint(&io::stdout(), colour, &format!("{:<12}", finding.kind)));
            text = text.replace(&kind, &painted);
        }
        print(&format!("{text}\n"))?;
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Servers {
    pub fn prefix(&self) -> Result<KeyPrefix, Failure> {
        let Some(prefix) = &self.redis_prefix else { return Ok(KeyPrefix::default()) };
        KeyPrefix::new(prefix.as_str()).map_err(|error| Failure::of("--redis-prefix", error))
    }
}

async fn interview(node: &mut Node, questions: &[Vec<String>]) -> Result<ServerAnswers, Failure> {
    let mut answers = Vec::new();
    for words in questions {
        answers.push(match node.ask(words).await? {
            Ok(Value::Array(parts)) => {
                ServerAnswer::List(parts.iter().map(|part| text(part).unwrap_or_default()).collect())
            }
            Ok(value) => ServerAnswer::Text(text(&value).unwrap_or_default()),
            // Who may not ask who he is, is whom the URL names.
            Err(_) if words.join(" ") == "ACL WHOAMI" => ServerAnswer::Text(node.user()),
            Err(error) => ServerAnswer::Error(error),
        });
    }
    Ok(ServerAnswers::new(node.address(), answers))
}

fn json_of(report: &ServerReport, prefix: &KeyPrefix, is_cluster: bool) -> serde_json::Value {
    let servers = report.servers().map(|(address, product)| json!({ "address": address, "product": product }));
    let findings = report.findings().iter().map(|finding| {
        json!({
            "kind": finding.kind.name(), "address": finding.address, "must_mend": finding.must_mend,
            "text": finding.text, "remedy": finding.remedy,
        })
    });
    json!({
        "prefix": prefix.as_str(), "cluster": is_cluster, "clean": report.is_clean(),
        "servers": servers.collect::<Vec<_>>(), "findings": findings.collect::<Vec<_>>(),
    })
}

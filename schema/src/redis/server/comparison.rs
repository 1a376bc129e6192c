use super::answers::ServerAnswer;
use super::finding::{ServerFinding, ServerFindingKind};
use super::info::{Info, OLDEST, SHARDED_CHANNELS, WAITS_FOR_DISKS};
use super::needs::ServerNeeds;
use super::rights::Lack;

use crate::redis::KeyPrefix;

/// What one server said, and what was found so far.
pub(super) struct Comparison<'a> {
    pub(super) prefix: &'a KeyPrefix,
    pub(super) needs: ServerNeeds,
    address: &'a str,
    pub(super) questions: &'a [Vec<String>],
    pub(super) answers: &'a [ServerAnswer],
    pub(super) info: Info<'a>,
    pub(super) findings: Vec<ServerFinding>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(
        prefix: &'a KeyPrefix,
        needs: ServerNeeds,
        address: &'a str,
        questions: &'a [Vec<String>],
        answers: &'a [ServerAnswer],
    ) -> Self {
        let info = match answers.first() {
            Some(ServerAnswer::Text(text)) => text,
            _ => "",
        };
        Self { prefix, needs, address, questions, answers, info: Info(info), findings: Vec::new() }
    }

    /// Looks at everything, the gravest first.
    pub(super) fn all(&mut self) {
        if self.info.is("redis_mode", "sentinel") {
            let text = "this is a Sentinel, which keeps no keys: give the store a client for Sentinel, which asks it \
                        where the primary is";
            self.must(ServerFindingKind::Topology, text, None);
            return;
        }
        self.answered();
        self.version();
        self.topology();
        self.role();
        self.eviction();
        self.persistence();
        self.replicas();
        self.commands();
    }

    fn find(
        &mut self,
        must_mend: bool,
        kind: ServerFindingKind,
        text: impl Into<String>,
        remedy: impl Into<Option<&'static str>>,
    ) {
        let remedy = remedy.into().map(str::to_owned);
        self.findings.push(ServerFinding {
            address: self.address.to_owned(),
            kind,
            must_mend,
            text: text.into(),
            remedy,
        });
    }

    pub(super) fn must(
        &mut self,
        kind: ServerFindingKind,
        text: impl Into<String>,
        remedy: impl Into<Option<&'static str>>,
    ) {
        self.find(true, kind, text, remedy);
    }

    fn note(&mut self, kind: ServerFindingKind, text: impl Into<String>, remedy: impl Into<Option<&'static str>>) {
        self.find(false, kind, text, remedy);
    }

    /// What was answered to the question that begins with these words.
    pub(super) fn answer(&self, words: &[&str]) -> Option<&'a ServerAnswer> {
        let asked = |question: &Vec<String>| words.iter().zip(question).all(|(word, asked)| word == asked);
        self.answers.get(self.questions.iter().position(asked)?)
    }

    /// The value of a setting; an error where the server would not tell.
    fn setting(&self, name: &str) -> Result<&'a str, &'a str> {
        match self.answer(&["CONFIG", "GET", name]) {
            Some(ServerAnswer::List(pair)) => pair.get(1).map(String::as_str).ok_or("it has no such setting"),
            Some(ServerAnswer::Error(error)) => Err(error),
            _ => Err("it did not answer"),
        }
    }

    fn answered(&mut self) {
        if self.answers.len() < self.questions.len() {
            self.must(ServerFindingKind::Unseen, "it did not answer all that was asked", None);
        } else if self.info.version().is_none() && !matches!(self.answers[0], ServerAnswer::Error(_)) {
            self.must(ServerFindingKind::Unseen, "INFO does not tell what the server is", None);
        }
    }

    fn version(&mut self) {
        let Some(version) = self.info.version() else { return };
        let product = self.info.product().unwrap_or_default();
        if version < OLDEST {
            let text = format!("{product} is too old: the store needs Redis 6.2 or later, or Valkey");
            self.must(ServerFindingKind::Version, text, None);
        }
        if self.needs.synced_to_disk && version < WAITS_FOR_DISKS {
            let text = format!(
                "{product} cannot have a write wait for disks (WAITAOF): that needs Redis 7.2 or later, or Valkey; \
                 leave synced_to_disk out, or set appendfsync to always"
            );
            self.must(ServerFindingKind::Version, text, None);
        }
        if self.needs.is_cluster() && version < SHARDED_CHANNELS && version >= OLDEST {
            let text = format!(
                "{product} has no channels of one node: whoever waits for an outcome is told by a message to all nodes"
            );
            self.note(ServerFindingKind::Version, text, None);
        }
    }

    fn topology(&mut self) {
        match (self.needs.is_cluster(), self.info.get("cluster_enabled")) {
            (false, Some("1")) => {
                let text = "this is a node of a Cluster, and the client is one for a single server: keys of other \
                            nodes are refused; give the store a client for a Cluster, and the command several URLs";
                self.must(ServerFindingKind::Topology, text, None);
            }
            (true, Some("0")) => {
                let text = "this is no node of a Cluster, and the client is one for a Cluster: give the store a client \
                            for a single server, and the command one URL";
                self.must(ServerFindingKind::Topology, text, None);
            }
            _ => {}
        }
    }

    fn role(&mut self) {
        if self.info.is("role", "slave") {
            let part = |name| self.info.get(name).unwrap_or("?");
            let text = format!(
                "this is a replica, which refuses writes: connect to its primary, {}:{}, or through Sentinel",
                part("master_host"),
                part("master_port")
            );
            self.must(ServerFindingKind::Role, text, None);
        }
        if self.info.is("loading", "1") {
            let text = "it is loading its data and refuses commands until it has: check again then";
            self.must(ServerFindingKind::Availability, text, None);
        }
    }

    fn eviction(&mut self) {
        let remedy = "CONFIG SET maxmemory-policy noeviction";
        let limit = self.info.number("maxmemory");
        match (self.info.get("maxmemory_policy"), limit) {
            (None, _) if self.info.version().is_some() => {
                let text = "INFO does not tell the eviction policy: see to it that it is noeviction";
                self.note(ServerFindingKind::Unseen, text, None);
            }
            (None | Some("noeviction"), _) => {}
            (Some(policy), Some(0)) => {
                let text = format!("maxmemory-policy is {policy}: once a maxmemory is set, records are dropped early");
                self.note(ServerFindingKind::Eviction, text, remedy);
            }
            (Some(policy), _) => {
                let which =
                    if policy.starts_with("volatile") { "of those that expire, as records do" } else { "of any" };
                let text = format!(
                    "maxmemory-policy is {policy}: when memory is short, keys {which} are dropped, and their requests \
                     run a second time"
                );
                self.must(ServerFindingKind::Eviction, text, remedy);
            }
        }
        if let (Some(used), Some(limit @ 1..)) = (self.info.number("used_memory"), limit)
            && used >= limit / 10 * 9
        {
            let text = format!("{used} of {limit} bytes of memory are used: without room no request can begin");
            self.note(ServerFindingKind::Memory, text, None);
        }
    }

    fn persistence(&mut self) {
        let kind = ServerFindingKind::Persistence;
        let everysec = "CONFIG SET appendfsync everysec";
        match (self.info.get("aof_enabled"), self.setting("appendfsync"), self.setting("save")) {
            (Some("1"), Ok("always"), _) => {}
            (Some("1"), Ok("everysec"), _) => {
                let text = "the append-only file is synced once a second: when the machine stops, a second or two of \
                            what was acknowledged is lost, and those requests can run a second time";
                self.note(kind, text, "CONFIG SET appendfsync always");
            }
            (Some("1"), Ok(other), _) => {
                let text = format!(
                    "appendfsync is {other}: the append-only file is synced when the system likes, and half a minute \
                     of what was acknowledged can be lost when the machine stops"
                );
                self.must(kind, text, everysec);
            }
            (Some("1"), Err(error), _) => self.unseen("how often the append-only file is synced", error),
            (Some("0"), _, save) => {
                let text = match save {
                    Ok("") => {
                        "nothing is written to disk: when the server stops, all records are lost, and their requests \
                         run a second time"
                    }
                    Ok(_) => {
                        "there are snapshots only: when the server stops, minutes of what was acknowledged are lost, \
                         and those requests can run a second time"
                    }
                    Err(_) => {
                        "there is no append-only file: when the server stops, what was acknowledged since its last \
                         snapshot is lost, if it takes any, and those requests can run a second time"
                    }
                };
                self.must(kind, text, "CONFIG SET appendonly yes");
                if let Err(error) = save {
                    self.unseen("whether snapshots are taken", error);
                }
            }
            _ if self.info.version().is_some() => {
                let text = "INFO does not tell whether there is an append-only file: see to it that there is";
                self.note(ServerFindingKind::Unseen, text, None);
            }
            _ => {}
        }
        if self.info.is("aof_last_write_status", "err") {
            self.must(kind, "the last write to the append-only file failed: look at the server's disk and log", None);
        }
        if self.info.is("rdb_last_bgsave_status", "err") {
            self.note(kind, "the last snapshot failed: look at the server's disk and log", None);
        }
    }

    /// Something that the server does not tell, and need not for the store to work.
    fn unseen(&mut self, what: &str, error: &str) {
        let text = format!("{what} could not be looked at: {error}");
        let remedy =
            (Lack::of(error) == Some(Lack::Command)).then(|| format!("ACL SETUSER {} +config|get", self.user()));
        self.find(false, ServerFindingKind::Unseen, text, None);
        if let Some(last) = self.findings.last_mut() {
            last.remedy = remedy;
        }
    }

    fn replicas(&mut self) {
        let (wanted, there) = (self.needs.replicas, self.info.replicas());
        if there < wanted && self.info.version().is_some() {
            let text = format!(
                "each write waits for {wanted} replicas, and {there} follow that have caught up: no request can begin; \
                 add replicas, or lower acknowledged_by"
            );
            self.must(ServerFindingKind::Replication, text, None);
        }
    }
}

use super::answers::ServerAnswer;
use super::comparison::Comparison;
use super::finding::ServerFindingKind;
use super::info::WAITS_FOR_DISKS;
use super::rights::{Lacking, user_in};

impl Comparison<'_> {
    /// What the commands answered that the store sends, and those that its scripts call.
    pub(super) fn commands(&mut self) {
        let (questions, answers) = (self.questions, self.answers);
        let version = self.info.version().unwrap_or(WAITS_FOR_DISKS);
        let needed: Vec<_> = self.needs.commands(version).collect();
        let mut lacking = Lacking::default();
        let mut other = Vec::new();
        for (question, answer) in questions.iter().zip(answers) {
            let name = match question.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                [] | ["CONFIG" | "ACL", ..] => continue,
                ["CLUSTER", subcommand, ..] => format!("CLUSTER|{subcommand}"),
                [name, ..] => name.to_owned(),
            };
            let errors: Vec<(String, &str)> = match answer {
                ServerAnswer::Error(error) => vec![(name, error)],
                ServerAnswer::List(pairs) if name == "EVAL" => {
                    pairs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].as_str())).collect()
                }
                _ => continue,
            };
            for (command, error) in errors {
                // What the store does not need of such a server, nobody need grant.
                if needed.contains(&command.to_ascii_lowercase()) && !lacking.add(&command, error) {
                    other.push((command, error));
                }
            }
        }
        if let Some((text, remedy)) = lacking.missing(&self.user(), self.prefix, &needed) {
            self.must(ServerFindingKind::Rights, text, None);
            if let Some(last) = self.findings.last_mut() {
                last.remedy = Some(remedy);
            }
        }
        if let Some(text) = lacking.unknown() {
            self.must(ServerFindingKind::Rights, text, None);
        }
        self.refusals(&other);
    }

    /// Errors that are not about rights. Those of commands that are given nonsense are as they should be.
    fn refusals(&mut self, errors: &[(String, &str)]) {
        use ServerFindingKind::{Availability, Memory, Persistence, Replication, Role, Topology, Unseen};

        let kinds = [
            (
                "OOM ",
                Memory,
                "its memory is full, and no request can begin: give it more, or let records expire earlier",
            ),
            (
                "MISCONF ",
                Persistence,
                "it refuses writes, as it cannot write to its disk: look at the disk and at its log",
            ),
            (
                "NOREPLICAS ",
                Replication,
                "it refuses writes, as it has fewer replicas than min-replicas-to-write asks for",
            ),
            ("READONLY ", Role, "it refuses writes, as a replica does: connect to its primary"),
            ("MASTERDOWN ", Role, "it is a replica that has lost its primary: connect to the primary that there is"),
            ("LOADING ", Availability, "it is loading its data and refuses commands until it has: check again then"),
            (
                "BUSY ",
                Availability,
                "it runs somebody's script, which SCRIPT KILL ends, and refuses all else: check again then",
            ),
            ("CLUSTERDOWN ", Topology, "the Cluster is down: some of its slots have no primary; see CLUSTER INFO"),
            ("NOAUTH ", ServerFindingKind::Rights, "it asks for a password: give one in the URL"),
        ];
        let mut told = Vec::new();
        for (command, error) in errors {
            let found = kinds.iter().find(|(code, ..)| error.contains(code));
            match found {
                Some((code, kind, text)) => {
                    let already = self.findings.iter().any(|finding| finding.kind == *kind && finding.must_mend);
                    if !told.contains(code) && !already {
                        told.push(code);
                        self.must(*kind, *text, None);
                    }
                }
                None if is_expected(command, error) => {}
                None => self.must(Unseen, format!("{} was answered with: {error}", command.to_ascii_lowercase()), None),
            }
        }
    }

    /// The name of the user who is connected.
    pub(super) fn user(&self) -> String {
        if let Some(ServerAnswer::Text(user)) = self.answer(&["ACL", "WHOAMI"]) {
            return user.clone();
        }
        let errors = self.answers.iter().filter_map(|answer| match answer {
            ServerAnswer::Error(error) => user_in(error),
            _ => None,
        });
        errors.into_iter().next().unwrap_or("USER").to_owned()
    }
}

/// Whether a command was refused for what it was given on purpose, or for where it was sent.
fn is_expected(command: &str, error: &str) -> bool {
    let has = |text: &str| error.contains(text);
    match command {
        "EVALSHA" => has("NOSCRIPT"),
        // Told of by what the server says of itself.
        "CLUSTER|SLOTS" | "ASKING" => has("cluster support disabled"),
        // The key, or the channel, belongs to another node.
        "EVAL" | "SSUBSCRIBE" | "SUNSUBSCRIBE" => has("MOVED "),
        "PING" | "INFO" | "SCAN" | "WAIT" | "ROLE" | "SUBSCRIBE" | "UNSUBSCRIBE" => false,
        "WAITAOF" => has("appendonly is disabled"),
        _ => has("wrong number of arguments") || has("not an integer") || has("syntax error") || has("non local key"),
    }
}

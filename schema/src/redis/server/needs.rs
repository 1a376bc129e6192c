use super::info::{SHARDED_CHANNELS, Version, WAITS_FOR_DISKS};
use crate::redis::KeyPrefix;

/// What a store asks of its servers: whether they are a Cluster, and what a write waits for.
///
/// ```
/// use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
///
/// let needs = ServerNeeds::single().acknowledged_by(1);
/// assert!(needs.acl_rule(&KeyPrefix::default()).contains("+wait"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerNeeds {
    pub(super) topology: Topology,
    pub(super) replicas: u32,
    pub(super) synced_to_disk: bool,
}

/// How a client finds its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Topology {
    Single,
    Sentinel,
    Cluster,
}

/// What a script asks of each command that the store's scripts call, put so that no command changes anything: `k` is a
/// name that is no record's, and no channel's that anybody listens to.
///
/// A server looks at a caller's rights after it has counted the arguments, and before it reads them. So a command that
/// would write is given arguments that it refuses.
const SCRIPTED: [(&str, &str); 14] = [
    ("TIME", ""),
    ("HMGET", "k, 'a'"),
    ("HGETALL", "k"),
    ("HKEYS", "k"),
    ("HSTRLEN", "k, 'a'"),
    ("HEXISTS", "k, 'a'"),
    ("EXISTS", "k"),
    ("GET", "k"),
    ("HSET", "k, 'a', 'b', 'c'"),
    ("HINCRBY", "k, 'a', 'x'"),
    ("HDEL", "k, 'a'"),
    ("PEXPIREAT", "k, 'x'"),
    ("DEL", "k"),
    ("SET", "k, '', 'NX', 'XX'"),
];

/// Commands that are sent by themselves.
const SENT: [&str; 5] = ["PING", "INFO", "EVAL", "EVALSHA", "SCAN"];
/// Commands about channels: of all servers, and of one node of a Cluster.
const CHANNELS: [&str; 3] = ["PUBLISH", "SUBSCRIBE", "UNSUBSCRIBE"];
const SHARDED: [&str; 3] = ["SPUBLISH", "SSUBSCRIBE", "SUNSUBSCRIBE"];

impl ServerNeeds {
    /// One server.
    ///
    /// ```
    /// use cratestack_schema::redis::ServerNeeds;
    ///
    /// assert_ne!(ServerNeeds::single(), ServerNeeds::cluster());
    /// ```
    pub const fn single() -> Self {
        Self { topology: Topology::Single, replicas: 0, synced_to_disk: false }
    }

    /// The primary that Sentinel names.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
    ///
    /// assert!(ServerNeeds::sentinel().acl_rule(&KeyPrefix::default()).contains("+role"));
    /// ```
    pub const fn sentinel() -> Self {
        Self { topology: Topology::Sentinel, ..Self::single() }
    }

    /// A Cluster.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
    ///
    /// assert!(ServerNeeds::cluster().acl_rule(&KeyPrefix::default()).contains("+cluster|slots"));
    /// ```
    pub const fn cluster() -> Self {
        Self { topology: Topology::Cluster, ..Self::single() }
    }

    /// Each write waits until this many replicas have it.
    ///
    /// ```
    /// use cratestack_schema::redis::ServerNeeds;
    ///
    /// assert_eq!(ServerNeeds::single().acknowledged_by(0), ServerNeeds::single());
    /// ```
    #[must_use]
    pub const fn acknowledged_by(self, replicas: u32) -> Self {
        Self { replicas, ..self }
    }

    /// Each write waits until it is on the disk of the server that took it, and of its replicas if it waits for those.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
    ///
    /// let needs = ServerNeeds::single().synced_to_disk(true);
    /// assert!(needs.acl_rule(&KeyPrefix::default()).contains("+waitaof"));
    /// ```
    #[must_use]
    pub const fn synced_to_disk(self, yes: bool) -> Self {
        Self { synced_to_disk: yes, ..self }
    }

    /// What is to be asked of each server, for [`ServerReport`](crate::redis::ServerReport): commands as lists of
    /// words, to be sent in this order.
    ///
    /// None of them changes anything, and none is slow. The last ones subscribe to a channel on which nothing is said,
    /// so ask on a connection that nobody else uses, and close it.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
    ///
    /// let questions = ServerNeeds::single().questions(&KeyPrefix::default());
    /// assert_eq!(questions[0], ["INFO"]);
    /// assert_eq!(questions.last().unwrap(), &["SUBSCRIBE", "cratestack_idempotency:%probe"]);
    /// ```
    pub fn questions(&self, prefix: &KeyPrefix) -> Vec<Vec<String>> {
        let (probe, script, pattern) = (prefix.probe(), self.script(), prefix.pattern());
        let zeros = "0".repeat(40);
        let mut questions = vec![
            vec!["INFO"],
            vec!["CONFIG", "GET", "appendfsync"],
            vec!["CONFIG", "GET", "save"],
            vec!["ACL", "WHOAMI"],
            vec!["PING"],
            vec!["EVALSHA", &zeros, "0"],
        ];
        // A Cluster's node refuses a key of another's, but none that a script has not told of, and says of a command
        // that its caller may not call it first of all.
        if self.is_cluster() {
            questions.push(vec!["EVAL", &script, "0", &probe]);
            questions.extend([vec!["CLUSTER", "SLOTS"], vec!["ASKING"]]);
        } else {
            questions.push(vec!["EVAL", &script, "1", &probe]);
        }
        questions.push(vec!["SCAN", "0", "MATCH", &pattern, "COUNT", "1"]);
        if self.topology == Topology::Sentinel {
            questions.push(vec!["ROLE"]);
        }
        if self.synced_to_disk {
            questions.push(vec!["WAITAOF", "0", "0", "1"]);
        } else if self.replicas > 0 {
            questions.push(vec!["WAIT", "0", "1"]);
        }
        questions.push(vec!["UNSUBSCRIBE", &probe]);
        if self.is_cluster() {
            questions.extend([vec!["SUNSUBSCRIBE", &probe], vec!["SSUBSCRIBE", &probe]]);
        }
        questions.push(vec!["SUBSCRIBE", &probe]);
        questions.into_iter().map(|words| words.into_iter().map(str::to_owned).collect()).collect()
    }

    pub(super) fn is_cluster(self) -> bool {
        self.topology == Topology::Cluster
    }

    /// The script that calls each command to no effect, and returns the names of those that failed and how.
    fn script(self) -> String {
        use std::fmt::Write as _;

        let mut script = "local k, found = KEYS[1] or ARGV[1], {}\n\
                          local function ask(name, ...)\n  \
                            local reply = redis.pcall(name, ...)\n  \
                            if type(reply) == 'table' and reply.err then\n    \
                              found[#found + 1] = name\n    \
                              found[#found + 1] = reply.err\n  \
                            end\n\
                          end\n"
            .to_owned();
        for (name, arguments) in SCRIPTED {
            let comma = if arguments.is_empty() { "" } else { ", " };
            // Writing to a `String` cannot fail.
            let _ = writeln!(script, "ask('{name}'{comma}{arguments})");
        }
        script.push_str("ask('PUBLISH', k, '')\n");
        if self.is_cluster() {
            script.push_str("ask('SPUBLISH', k, '')\n");
        }
        script.push_str("return found");
        script
    }

    /// The rule of an ACL user with the rights that a store needs and no others, for Redis 7.0 and later, and Valkey;
    /// without a Cluster, for Redis 6.2 too: `ACL SETUSER name on >password` followed by it.
    ///
    /// Servers ask it of scripts too, so it names what they call. A connection to a database other than 0 needs
    /// `+select` besides.
    ///
    /// ```
    /// use cratestack_schema::redis::{KeyPrefix, ServerNeeds};
    ///
    /// let rule = ServerNeeds::single().acl_rule(&KeyPrefix::new("pay:")?);
    /// assert!(rule.starts_with("resetkeys ~pay:* resetchannels &pay:* -@all +ping +info +eval +evalsha"));
    /// # Ok::<(), cratestack_schema::redis::PrefixError>(())
    /// ```
    pub fn acl_rule(&self, prefix: &KeyPrefix) -> String {
        let keys_and_channels = format!("resetkeys {} resetchannels {} -@all", key_rule(prefix), channel_rule(prefix));
        let commands = self.commands(WAITS_FOR_DISKS).map(|command| format!("+{command}"));
        std::iter::once(keys_and_channels).chain(commands).collect::<Vec<_>>().join(" ")
    }

    /// The commands that a store sends to servers of this version, and that its scripts call, as rules spell them.
    pub(super) fn commands(self, version: Version) -> impl Iterator<Item = String> {
        let mut commands: Vec<_> = SENT.iter().copied().chain(SCRIPTED.map(|(name, _)| name)).collect();
        let is_sharded = self.is_cluster() && version >= SHARDED_CHANNELS;
        commands.extend(if is_sharded { SHARDED } else { CHANNELS });
        match self.topology {
            Topology::Single => {}
            Topology::Sentinel => commands.push("ROLE"),
            // While a slot moves, a client asks where it is going.
            Topology::Cluster => commands.extend(["CLUSTER|SLOTS", "ASKING"]),
        }
        if self.synced_to_disk && version >= WAITS_FOR_DISKS {
            commands.push("WAITAOF");
        } else if self.replicas > 0 && !self.synced_to_disk {
            commands.push("WAIT");
        }
        commands.into_iter().map(str::to_ascii_lowercase)
    }
}

pub(super) fn key_rule(prefix: &KeyPrefix) -> String {
    format!("~{}*", prefix.literal())
}

pub(super) fn channel_rule(prefix: &KeyPrefix) -> String {
    format!("&{}*", prefix.literal())
}

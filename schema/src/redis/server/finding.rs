use std::fmt;

/// What is to be known of a server, and what mends it.
///
/// ```
/// use cratestack_schema::redis::{KeyPrefix, ServerAnswers, ServerFindingKind, ServerNeeds, ServerReport};
///
/// let silent = [ServerAnswers::new("10.0.0.7:6379", Vec::new())];
/// let report = ServerReport::new(&KeyPrefix::default(), ServerNeeds::single(), &silent);
/// assert_eq!(report.findings()[0].kind, ServerFindingKind::Unseen);
/// assert_eq!(report.findings()[0].address, "10.0.0.7:6379");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerFinding {
    /// Which server it is about.
    pub address: String,
    /// What it is about.
    pub kind: ServerFindingKind,
    /// Whether it is to be mended: else it is only told.
    pub must_mend: bool,
    /// What is there, and what follows from it.
    pub text: String,
    /// A command for the server that mends it, where one does.
    pub remedy: Option<String>,
}

/// What a finding is about.
///
/// ```
/// assert_eq!(cratestack_schema::redis::ServerFindingKind::Eviction.name(), "eviction");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerFindingKind {
    /// The server is too old for what the store needs of it.
    Version,
    /// It is a node of a Cluster and its client knows none, or the other way round; or it is a Sentinel.
    Topology,
    /// It is a replica, which refuses writes.
    Role,
    /// It refuses commands for a reason of the moment: it loads its data, or runs somebody's script.
    Availability,
    /// It may drop keys before they expire.
    Eviction,
    /// It has no room, or little.
    Memory,
    /// What it has acknowledged can be lost when it stops.
    Persistence,
    /// It has fewer replicas than a write waits for.
    Replication,
    /// The user who is connected lacks a right, or the server lacks a command.
    Rights,
    /// Something could not be looked at.
    Unseen,
}

impl ServerFindingKind {
    /// A word for it.
    ///
    /// ```
    /// assert_eq!(cratestack_schema::redis::ServerFindingKind::Rights.name(), "rights");
    /// ```
    pub const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Topology => "topology",
            Self::Role => "role",
            Self::Availability => "availability",
            Self::Eviction => "eviction",
            Self::Memory => "memory",
            Self::Persistence => "persistence",
            Self::Replication => "replication",
            Self::Rights => "rights",
            Self::Unseen => "unseen",
        }
    }
}

impl fmt::Display for ServerFindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

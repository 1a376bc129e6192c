/// The text of `INFO`: lines of a name, a colon and a value.
#[derive(Debug, Clone, Copy)]
pub(super) struct Info<'a>(pub(super) &'a str);

/// A version's first two numbers.
pub(super) type Version = (u32, u32);

/// The oldest server that the store's scripts run on.
pub(super) const OLDEST: Version = (6, 2);
/// From this version on a channel can belong to one node of a Cluster.
pub(super) const SHARDED_CHANNELS: Version = (7, 0);
/// From this version on a write can wait until it is on a disk.
pub(super) const WAITS_FOR_DISKS: Version = (7, 2);

impl<'a> Info<'a> {
    pub(super) fn get(self, name: &str) -> Option<&'a str> {
        let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
        self.0.lines().find_map(value).map(str::trim)
    }

    pub(super) fn is(self, name: &str, value: &str) -> bool {
        self.get(name) == Some(value)
    }

    pub(super) fn number(self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// The version of Redis that the server is, or is compatible with, as Valkey says of itself.
    pub(super) fn version(self) -> Option<Version> {
        let mut parts = self.get("redis_version")?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    /// What the server is, in words.
    pub(super) fn product(self) -> Option<String> {
        let named = |name: &str, product: &str| Some(format!("{product} {}", self.get(name)?));
        named("valkey_version", "Valkey").or_else(|| named("redis_version", "Redis"))
    }

    /// How many replicas follow it and have caught up.
    pub(super) fn replicas(self) -> u32 {
        let is_online = |line: &&str| {
            let number = line.strip_prefix("slave").and_then(|rest| rest.split_once(':'));
            number.is_some_and(|(number, rest)| number.parse::<u32>().is_ok() && rest.contains("state=online"))
        };
        u32::try_from(self.0.lines().filter(is_online).count()).unwrap_or(u32::MAX)
    }
}

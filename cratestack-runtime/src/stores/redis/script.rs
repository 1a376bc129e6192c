//! The scripts. Each is one round trip about one key, so that it runs whole or not at all, and on one node of a Cluster.
//!
//! Each may be sent again after its answer was lost: it looks for the token that it would write.

use std::sync::LazyLock;

/// A script, and the name under which a server keeps it once it has seen it.
#[derive(Debug)]
pub(super) struct Script {
    pub(super) source: String,
    pub(super) sha1: String,
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let source = parts.concat();
        let sha1 = redis::Script::new(&source).get_hash().to_owned();
        Self { source, sha1 }
    }
}

/// Those that end what others wait for, which on a Cluster is told over a channel of the record's slot.
#[derive(Debug)]
pub(super) struct WakingScripts {
    pub(super) finish: Script,
    pub(super) release: Script,
    pub(super) remove: Script,
}

impl WakingScripts {
    fn new(wake: &str) -> Self {
        Self {
            finish: Script::new(&[wake, include_str!("scripts/finish.lua")]),
            release: Script::new(&[CLOCK, wake, include_str!("scripts/release.lua")]),
            remove: Script::new(&[CLOCK, wake, include_str!("scripts/remove.lua")]),
        }
    }
}

const CLOCK: &str = include_str!("scripts/clock.lua");

pub(super) static RESERVE: LazyLock<Script> =
    LazyLock::new(|| Script::new(&[CLOCK, include_str!("scripts/reserve.lua")]));
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(&[CLOCK, include_str!("scripts/renew.lua")]));
pub(super) static RECORD_STEP: LazyLock<Script> =
    LazyLock::new(|| Script::new(&[include_str!("scripts/record_step.lua")]));
pub(super) static STEPS: LazyLock<Script> = LazyLock::new(|| Script::new(&[include_str!("scripts/steps.lua")]));
pub(super) static WATCH: LazyLock<Script> = LazyLock::new(|| Script::new(&[include_str!("scripts/watch.lua")]));
pub(super) static REMOVAL_MARK: LazyLock<Script> =
    LazyLock::new(|| Script::new(&[include_str!("scripts/removal_mark.lua")]));
pub(super) static SHOW: LazyLock<Script> = LazyLock::new(|| Script::new(&[CLOCK, include_str!("scripts/show.lua")]));

pub(super) static ON_A_NODE: LazyLock<WakingScripts> =
    LazyLock::new(|| WakingScripts::new(include_str!("scripts/wake.lua")));
pub(super) static ON_A_CLUSTER: LazyLock<WakingScripts> =
    LazyLock::new(|| WakingScripts::new(include_str!("scripts/wake_sharded.lua")));

//! Where a call is sent next, and whether at all.
//!
//! ```text
//! call │ node 1 ── MOVED: the slot is node 2's, for good ── node 2 ── answer       (the slots are asked for behind it)
//! call │ node 1 ── ASK: this key is at node 2 already ── ASKING, node 2 ── answer  (the slot is still node 1's)
//! call │ node 1 ── lost, silent, loading, or no primary ── who has the slots? ── node 1 again, or another
//! ```
//!
//! Each script finds what it has written itself, so a call whose answer was lost is sent again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::cluster::NodeAddress;
use redis::cluster_routing::Slot;
use redis::{Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};

use super::super::error::code;
use super::nodes::Nodes;
use super::slots::{Member, redirected};

/// So many redirects are followed at once. After that two nodes may each take the other for the owner of a slot.
const PROMPT_REDIRECTS: u32 = 3;

/// How long a call rests before it is sent again, the longer the oftener it was.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The way of a call.
pub(super) struct Way {
    slot: Slot,
    /// Where its key is while its slot moves, for the next time only.
    asking: Option<Arc<Member>>,
    last: Option<Arc<Member>>,
    /// It is not sent again after this moment.
    until: Instant,
    attempts: u32,
}

/// A node that a call is sent to.
pub(super) struct Hop {
    pub(super) member: Arc<Member>,
    /// Whether the slot is still on its way there.
    pub(super) is_asking: bool,
}

/// What an error says of where the call belongs.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Moved(NodeAddress),
    Ask(NodeAddress),
    /// To whom has the slot, who may be another by now.
    Anew,
    /// To the same, a little later.
    Later,
    /// Nowhere: the error is the answer.
    Final,
}

impl Way {
    pub(super) fn of(slot: Slot, patience: Duration) -> Self {
        Self { slot, asking: None, last: None, until: Instant::now() + patience, attempts: 0 }
    }

    pub(super) async fn hop(&mut self, nodes: &Nodes) -> RedisResult<Hop> {
        let hop = if let Some(member) = self.asking.take() {
            Hop { member, is_asking: true }
        } else {
            let owner = nodes.owner(self.slot).await;
            // Of a Cluster that has never answered, the caller is told at once.
            if owner.is_err() && !nodes.is_known() {
                self.until = Instant::now();
            }
            Hop { member: owner?, is_asking: false }
        };
        self.last = Some(Arc::clone(&hop.member));
        Ok(hop)
    }

    /// Returns once the call is to be sent again, and the error where it is not.
    pub(super) async fn after(&mut self, nodes: &Arc<Nodes>, error: RedisError) -> RedisResult<()> {
        let verdict = Verdict::of(&error, self.last.as_deref());
        if verdict == Verdict::Final || Instant::now() >= self.until {
            return Err(error);
        }
        self.attempts += 1;
        let is_prompt = match verdict {
            Verdict::Moved(address) => {
                nodes.learn(self.slot, &address);
                self.attempts <= PROMPT_REDIRECTS
            }
            Verdict::Ask(address) => {
                self.asking = Some(nodes.member(&address));
                self.attempts <= PROMPT_REDIRECTS
            }
            Verdict::Anew => {
                // Where nobody tells, the next attempt does.
                let _ = nodes.refresh().await;
                let owner = nodes.known_owner(self.slot);
                matches!((owner, &self.last), (Some(owner), Some(last)) if !Arc::ptr_eq(&owner, last))
            }
            Verdict::Later | Verdict::Final => false,
        };
        if !is_prompt {
            tokio::time::sleep(self.pause()).await;
        }
        Ok(())
    }

    fn pause(&self) -> Duration {
        (SHORTEST_PAUSE * 2_u32.saturating_pow(self.attempts.min(8))).min(LONGEST_PAUSE)
    }
}

impl Hop {
    pub(super) async fn run_one(&self, command: &Cmd) -> RedisResult<Value> {
        let node = &self.member.node;
        if self.is_asking { node.run_asking(command).await } else { node.run_one(command).await }
    }
}

/// Whether a call that shared a message, and came to this error, may still come to an answer if it is sent by itself.
pub(super) fn leads_on(error: &RedisError) -> bool {
    Verdict::of(error, None) != Verdict::Final
}

impl Verdict {
    fn of(error: &RedisError, last: Option<&Member>) -> Self {
        let redirected = || {
            let host = last.map_or("", |last| last.address.host());
            error.redirect_node().and_then(|(address, _)| redirected(address, host))
        };
        match error.kind() {
            // A node that does not know where the other one is says no address.
            ErrorKind::Server(ServerErrorKind::Moved) => redirected().map_or(Self::Anew, Self::Moved),
            ErrorKind::Server(ServerErrorKind::Ask) => redirected().map_or(Self::Later, Self::Ask),
            ErrorKind::Server(ServerErrorKind::TryAgain) => Self::Later,
            ErrorKind::Io
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::Server(
                ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::BusyLoading
                | ServerErrorKind::ReadOnly,
            ) => Self::Anew,
            _ if code(error) == Some("READONLY") => Self::Anew,
            _ => Self::Final,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::node::Node;
    use super::*;

    fn told(text: &str) -> RedisError {
        let bytes = format!("-{text}\r\n");
        match redis::parse_redis_value(bytes.as_bytes()).unwrap() {
            Value::ServerError(error) => error.into(),
            other => panic!("{other:?}"),
        }
    }

    fn verdict(text: &str) -> Verdict {
        let client = redis::Client::open(("asked", 7_000)).unwrap();
        let last = Member { address: NodeAddress::new("asked", 7_000), node: Arc::new(Node::new(client)) };
        Verdict::of(&told(text), Some(&last))
    }

    #[test]
    fn a_redirect_is_followed_to_where_it_leads() {
        let at = |host: &str| NodeAddress::new(host, 7_001);
        assert_eq!(verdict("MOVED 3999 10.0.0.2:7001"), Verdict::Moved(at("10.0.0.2")));
        assert_eq!(verdict("MOVED 3999 :7001"), Verdict::Moved(at("asked")));
        assert_eq!(verdict("MOVED 3999 fe80::1:7001"), Verdict::Moved(at("fe80::1")));
        assert_eq!(verdict("MOVED 3999 ?:7001"), Verdict::Anew);
        assert_eq!(verdict("MOVED"), Verdict::Anew);
        assert_eq!(verdict("ASK 3999 10.0.0.2:7001"), Verdict::Ask(at("10.0.0.2")));
        assert_eq!(verdict("ASK 3999 ?:7001"), Verdict::Later);
    }

    #[test]
    fn what_may_pass_is_waited_for_and_what_may_not_is_told() {
        for text in [
            "CLUSTERDOWN Hash slot not served",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down",
            "READONLY You can't write against a read only replica.",
            "ERR Error running script (call to f_0): @user_script: 3: -READONLY You can't write against a read only replica.",
        ] {
            assert_eq!(verdict(text), Verdict::Anew, "{text}");
            assert!(leads_on(&told(text)), "{text}");
        }
        assert_eq!(verdict("TRYAGAIN Multiple keys request during rehashing of slot"), Verdict::Later);
        for text in [
            "NOSCRIPT No matching script",
            "NOPERM this user has no permissions",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "NOREPLICAS Not enough good replicas to write.",
            "WRONGTYPE Operation against a key holding the wrong kind of value",
            "DAMAGED a field is missing",
            "ERR unknown command",
        ] {
            assert_eq!(verdict(text), Verdict::Final, "{text}");
            assert!(!leads_on(&told(text)), "{text}");
        }
        for kind in [std::io::ErrorKind::ConnectionRefused, std::io::ErrorKind::TimedOut] {
            assert_eq!(Verdict::of(&std::io::Error::from(kind).into(), None), Verdict::Anew, "{kind:?}");
        }
    }

    #[test]
    fn the_pauses_grow_and_stay_bounded() {
        let mut way = Way::of(Slot::new(0).unwrap(), Duration::ZERO);
        let mut last = Duration::ZERO;
        for attempts in [0, 1, 4, 8, u32::MAX] {
            way.attempts = attempts;
            assert!(way.pause() >= last && way.pause() <= LONGEST_PAUSE, "{attempts}");
            last = way.pause();
        }
    }
}

use clap::Args;

use crate::output::Failure;

#[derive(Args)]
#[cfg_attr(not(feature = "redis"), allow(dead_code, reason = "they are refused"))]
pub struct Servers {
    /// Where Valkey or Redis is: `redis://user:password@host:6379`, or `rediss://` for an encrypted connection
    ///
    /// Several are nodes of one Cluster: separated by commas, or the option again. Without a value they are read from
    /// the environment variable `REDIS_URL`, the better place for a password: the list of processes shows
    /// arguments.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    pub redis_url: Vec<String>,

    /// What the names of the store's keys begin with there [default: `cratestack_idempotency:`]
    #[arg(long, value_name = "PREFIX")]
    pub redis_prefix: Option<String>,
}

impl Servers {
    pub fn is_given(&self) -> bool {
        !self.redis_url.is_empty() || self.redis_prefix.is_some()
    }
}

/// The same options, where a command does not take them: to say so in words of their own.
#[derive(Args)]
pub struct NoServers {
    #[arg(long, hide = true, num_args = 0..=1, default_missing_value = "")]
    redis_url: Vec<String>,

    #[arg(long, hide = true)]
    redis_prefix: Option<String>,
}

impl NoServers {
    pub fn refuse(&self) -> Result<(), Failure> {
        if self.redis_url.is_empty() && self.redis_prefix.is_none() {
            return Ok(());
        }
        let text = "only `check` and `stats` take it: leave it out, and name a database by --database-url. Servers of \
                    Valkey and Redis delete by themselves what has expired, and single records there are shown and \
                    removed by a program: Idempotency::show, release, forget_record";
        Err(Failure::of("--redis-url", text))
    }
}

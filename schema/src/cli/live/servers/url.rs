//! The URLs of servers, read from options and the environment.

use std::env;
use std::net::IpAddr;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion};

use super::arguments::Servers;
use super::error::Secrets;
use crate::output::{Failure, visible};

/// Which environment variable has them where the option has no value.
const VARIABLE: &str = "REDIS_URL";
const SCHEMES: [&str; 7] =
    ["redis://", "rediss://", "valkey://", "valkeys://", "unix://", "redis+unix://", "valkey+unix://"];

/// One server, and how to connect to it.
#[derive(Clone)]
pub struct Place {
    pub info: ConnectionInfo,
    pub secrets: Secrets,
}

impl Servers {
    /// What the options name, in their order.
    pub fn places(&self) -> Result<Vec<Place>, Failure> {
        let mut texts = Vec::new();
        for given in &self.redis_url {
            if given.is_empty() {
                let text = env::var(VARIABLE).unwrap_or_default();
                if text.is_empty() {
                    return Err(refused(format!("give a URL such as redis://localhost:6379, or set {VARIABLE}")));
                }
                texts.extend(split(&text));
            } else {
                texts.extend(split(given));
            }
        }
        if texts.is_empty() {
            return Err(Failure::of("--redis-prefix", "say where the server is, by --redis-url"));
        }
        let places: Vec<_> = texts.iter().map(|text| Place::parse(text)).collect::<Result<_, _>>()?;
        if places.len() > 1 && places.iter().any(|place| place.info.redis_settings().db() != 0) {
            return Err(refused(
                "several URLs are nodes of a Cluster, which has no database but 0: leave its number out",
            ));
        }
        Ok(places)
    }
}

/// At commas, but for those that a password has in it.
fn split(text: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for part in text.split(',') {
        let part = part.trim_start();
        match urls.last_mut() {
            Some(last) if !SCHEMES.iter().any(|scheme| part.starts_with(scheme)) => {
                last.push(',');
                last.push_str(part);
            }
            _ => urls.push(part.to_owned()),
        }
    }
    urls.iter().map(|url| url.trim_end().to_owned()).collect()
}

impl Place {
    fn parse(text: &str) -> Result<Self, Failure> {
        let Some(scheme) = SCHEMES.iter().find(|scheme| text.starts_with(**scheme)) else {
            return Err(refused("it begins with none of redis://, rediss://, valkey://, valkeys:// and unix://"));
        };
        let rest = &text[scheme.len()..];
        // A password that is cut short would be taken for a host, and shown as one.
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        let is_path = scheme.contains("unix");
        if !is_path && rest.contains('@') && (!authority.contains('@') || rest.matches('@').count() > 1) {
            let text = "of what stands before the @, each / ? # @ is written percent-encoded: %2F %3F %23 %40";
            return Err(refused(text));
        }
        if ["rediss://", "valkeys://"].contains(scheme) && cfg!(not(feature = "tls")) {
            let text = "this build of the program has no encryption: build it with the feature tls";
            return Err(refused(text));
        }
        let info = text.into_connection_info().map_err(|error| refused(problem(&error)))?;
        let raw = authority.rsplit_once('@').and_then(|(before, _)| before.split_once(':'));
        let secrets = [raw.map(|(_, raw)| raw), info.redis_settings().password()];
        let secrets = Secrets::new(secrets.into_iter().flatten().map(str::to_owned));
        // One answer to one command, also where it is about channels.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        Ok(Self { info: info.set_redis_settings(settings), secrets })
    }

    /// The same, of another node of its Cluster.
    pub fn at(&self, host: &str, port: u16) -> Self {
        let address = match self.info.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        Self { info: self.info.clone().set_addr(address), secrets: self.secrets.clone() }
    }

    /// Where it is, for people.
    pub fn address(&self) -> String {
        visible(&self.info.addr().to_string())
    }

    pub fn host(&self) -> &str {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "localhost",
        }
    }

    /// Whether somebody in between can read what is said, the password too.
    pub fn is_in_the_open(&self) -> bool {
        let is_local =
            |host: &str| host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        matches!(self.info.addr(), ConnectionAddr::Tcp(host, _) if !is_local(host))
    }
}

fn refused(text: impl std::fmt::Display) -> Failure {
    Failure::of("--redis-url", text)
}

/// What is wrong with a URL, without any part of it.
fn problem(error: &redis::RedisError) -> &'static str {
    let text = error.to_string();
    if text.contains("database number") {
        "what follows the host is the number of a database, such as /0"
    } else if text.contains("#insecure") {
        "what follows # can only be insecure"
    } else if text.contains("hostname") || text.contains("wildcard") {
        "it names no host: write redis://host:6379"
    } else {
        "it is no URL of a server: write redis://user:password@host:6379, with / ? # @ in a password percent-encoded"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Place {
        Place::parse(text).map_err(|_| "refused").unwrap()
    }

    #[test]
    fn a_list_is_split_at_commas_but_not_within_a_password() {
        assert_eq!(split("redis://a:1, redis://b:2,rediss://c"), ["redis://a:1", "redis://b:2", "rediss://c"]);
        assert_eq!(split("redis://u:p,w@a:1,redis://b"), ["redis://u:p,w@a:1", "redis://b"]);
        assert_eq!(split("nonsense"), ["nonsense"]);
    }

    #[test]
    fn a_password_is_a_secret_as_it_is_written_and_as_it_is_meant() {
        let place = parsed("redis://ada:p%40ss%2Fword@db.example.com:7000/0");
        assert_eq!(place.address(), "db.example.com:7000");
        assert_eq!(place.secrets.hide("p%40ss%2Fword p@ss/word ada"), "*** *** ada");
        let other = place.at("10.0.0.9", 7001);
        assert_eq!((other.address(), other.info.redis_settings().username()), ("10.0.0.9:7001".into(), Some("ada")));
        assert_eq!(parsed("redis://:only@h").secrets.hide("only"), "***");
    }

    #[test]
    fn what_leaves_the_machine_unencrypted_is_in_the_open() {
        for (url, open) in [
            ("redis://localhost", false),
            ("redis://127.0.0.9:1", false),
            ("redis://[::1]:1", false),
            ("unix:///run/redis.sock", false),
            ("redis://db.example.com", true),
            ("redis://10.0.0.7", true),
        ] {
            assert_eq!(parsed(url).is_in_the_open(), open, "{url}");
        }
        if cfg!(feature = "tls") {
            assert!(!parsed("rediss://db.example.com").is_in_the_open());
        }
    }
}
